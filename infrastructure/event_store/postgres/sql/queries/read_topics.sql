-- Returns the events of some topics after a position, in order.
SELECT position, stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
       recorded_at, digest
FROM events
WHERE position > greatest(%(after)s, 0) AND position <= least(%(upto)s, (SELECT position FROM head))
  AND topic = ANY(%(topics)s::text[])
ORDER BY position
LIMIT %(limit)s
