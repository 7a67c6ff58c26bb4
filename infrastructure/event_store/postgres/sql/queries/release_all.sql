-- Releases every saga of some workers. One that was notified becomes due at once.
UPDATE due
SET due_at = CASE WHEN nudged THEN least(due_at, clock_timestamp()) ELSE due_at END, worker_id = NULL, nudged = false
WHERE worker_id = ANY(%s::text[])
