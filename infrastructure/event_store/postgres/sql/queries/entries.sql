-- Returns every entry of the work queue, by saga id.
SELECT saga_id, definition, definition_version, due_at, worker_id FROM due ORDER BY saga_id COLLATE "C"
