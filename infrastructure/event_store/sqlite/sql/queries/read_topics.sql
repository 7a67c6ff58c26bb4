-- Returns the events of some topics after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > max(:after, 0) AND position <= min(:upto, (SELECT position FROM head))
  AND topic IN (SELECT value FROM json_each(:topics))
ORDER BY position
LIMIT :limit
