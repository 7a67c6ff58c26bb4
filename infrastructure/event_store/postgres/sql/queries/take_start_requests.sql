-- Gives open start requests to a worker, and returns them. A request taken by a worker whose lease ended is open.
-- Requests with times that no program can read are refused here, because they would fail the whole statement there.
WITH unreadable AS (
    UPDATE requests
    SET refused_at = clock_timestamp(),
        reason = 'begins_at and requested_at must be from year 1 to 9999 in UTC, without infinity'
    WHERE refused_at IS NULL
      AND NOT (coalesce(begins_at, requested_at) BETWEEN '0001-01-02Z' AND '9999-12-30Z'
               AND requested_at BETWEEN '0001-01-02Z' AND '9999-12-30Z')
),
free AS (
    SELECT request_id
    FROM requests
    WHERE refused_at IS NULL
      AND (worker_id IS NULL OR NOT EXISTS (SELECT FROM workers AS w WHERE w.worker_id = requests.worker_id))
      AND (definition, definition_version) IN (
          SELECT * FROM unnest(%(definitions)s::text[], %(versions)s::integer[]))
      AND coalesce(begins_at, requested_at) BETWEEN '0001-01-02Z' AND '9999-12-30Z'
      AND requested_at BETWEEN '0001-01-02Z' AND '9999-12-30Z'
    ORDER BY request_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE requests SET worker_id = %(worker_id)s
FROM free
WHERE requests.request_id = free.request_id
RETURNING requests.request_id, saga_id, definition, definition_version, fingerprint, input, begins_at, actor,
          requested_at, refused_at, reason
