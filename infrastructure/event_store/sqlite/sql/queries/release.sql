-- Releases some sagas of a worker. One that was notified becomes due at once.
UPDATE due
SET due_at = iif(nudged, min(due_at, :now), due_at), worker_id = NULL, nudged = 0
WHERE worker_id = :worker_id AND saga_id IN (SELECT value FROM json_each(:saga_ids))
