-- Inserts or replaces an entry. A notified saga that is released becomes due at once.
INSERT INTO due (saga_id, definition, definition_version, due_at, worker_id)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (saga_id) DO UPDATE
SET definition = excluded.definition,
    definition_version = excluded.definition_version,
    due_at = iif(nudged AND excluded.worker_id IS NULL, min(excluded.due_at, ?), excluded.due_at),
    worker_id = excluded.worker_id,
    nudged = nudged AND excluded.worker_id IS NOT NULL
