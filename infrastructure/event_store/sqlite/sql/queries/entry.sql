-- Returns a saga's entry of the work queue.
SELECT saga_id, definition, definition_version, due_at, worker_id FROM due WHERE saga_id = ?
