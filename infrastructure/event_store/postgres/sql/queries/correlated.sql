-- Returns the events of a process after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM (
    SELECT * FROM events
    WHERE stream_id = %(correlation_id)s AND position > greatest(%(after)s, 0)
    UNION ALL
    SELECT * FROM events
    WHERE correlation_id = %(correlation_id)s AND stream_id <> %(correlation_id)s
      AND position > greatest(%(after)s, 0)
) AS process
WHERE position + 0 <= (SELECT position FROM head)
ORDER BY position
LIMIT %(limit)s
