-- Returns the events of a stream between two versions, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE stream_id = %(stream_id)s AND version > %(after)s AND version <= %(upto)s
  AND position >= 1 AND position + 0 <= (SELECT position FROM head)
ORDER BY version
