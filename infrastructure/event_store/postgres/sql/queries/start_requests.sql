-- Returns the start requests, oldest first.
SELECT request_id, saga_id, definition, definition_version, fingerprint, input, begins_at, actor, requested_at,
       refused_at, reason
FROM requests
ORDER BY request_id
LIMIT %s
