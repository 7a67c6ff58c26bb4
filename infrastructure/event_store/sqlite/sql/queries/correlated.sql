-- Returns the events of a process after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position IN (
    SELECT position FROM events WHERE stream_id = :correlation_id
    UNION
    SELECT position FROM events WHERE correlation_id = :correlation_id AND position > :after
) AND position > max(:after, 0) AND position <= (SELECT position FROM head)
ORDER BY position
LIMIT :limit
