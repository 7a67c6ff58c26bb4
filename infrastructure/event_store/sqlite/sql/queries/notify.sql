-- Makes a saga due now; a worker that holds it keeps it, and is notified.
INSERT INTO due (saga_id, definition, definition_version, due_at)
VALUES (:saga_id, :definition, :definition_version, :now)
ON CONFLICT (saga_id) DO UPDATE
SET due_at = min(due_at, excluded.due_at), nudged = worker_id IS NOT NULL
