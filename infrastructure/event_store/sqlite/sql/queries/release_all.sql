-- Releases every saga of some workers. One that was notified becomes due at once.
UPDATE due
SET due_at = iif(nudged, min(due_at, :now), due_at), worker_id = NULL, nudged = 0
WHERE worker_id = :worker_id
