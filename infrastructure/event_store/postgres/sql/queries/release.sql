-- Releases some sagas of a worker. One that was notified becomes due at once.
UPDATE due
SET due_at = CASE WHEN nudged THEN least(due_at, clock_timestamp()) ELSE due_at END, worker_id = NULL, nudged = false
WHERE worker_id = %s AND saga_id = ANY(%s::text[])
