-- Returns the events after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > greatest(%(after)s, 0) AND position <= least(%(upto)s, (SELECT position FROM head))
ORDER BY position
LIMIT %(limit)s
