-- Makes a notified saga due at once, although its worker is done with it.
UPDATE due SET due_at = min(due_at, ?), worker_id = NULL, nudged = 0 WHERE saga_id = ?
