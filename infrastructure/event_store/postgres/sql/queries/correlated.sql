-- Returns the events of a process after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM (
    SELECT * FROM events WHERE stream_id = %(correlation_id)s AND position > %(after)s
    UNION ALL
    SELECT * FROM events
    WHERE correlation_id = %(correlation_id)s AND stream_id <> %(correlation_id)s AND position > %(after)s
) AS process
ORDER BY position
LIMIT %(limit)s
