-- Gives open start requests to a worker, and returns them. A request taken by a worker whose lease ended is open.
WITH free AS (
    SELECT request_id
    FROM requests
    WHERE refused_at IS NULL
      AND (worker_id IS NULL OR NOT EXISTS (SELECT FROM workers AS w WHERE w.worker_id = requests.worker_id))
      AND (definition, definition_version) IN (
          SELECT * FROM unnest(%(definitions)s::text[], %(versions)s::integer[]))
    ORDER BY request_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE requests SET worker_id = %(worker_id)s
FROM free
WHERE requests.request_id = free.request_id
RETURNING requests.request_id, saga_id, definition, definition_version, fingerprint, input, begins_at, actor,
          requested_at, refused_at, reason
