-- Returns the events after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > %(after)s AND position <= %(upto)s
ORDER BY position
LIMIT %(limit)s
