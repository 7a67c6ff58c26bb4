-- Returns the events of many streams, each beyond its own version, by stream and version.
SELECT e.position, e.stream_id, e.version, e.topic, e.schema_version, e.state, e.correlation_id,
       e.causation_position, e.meta, e.recorded_at, e.digest
FROM unnest(%(stream_ids)s::text[], %(after)s::bigint[]) AS wanted (stream_id, version)
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE stream_id = wanted.stream_id AND version > wanted.version
      AND position >= 1 AND position + 0 <= (SELECT position FROM head)
    ORDER BY version
) AS e
ORDER BY e.stream_id COLLATE "C", e.version
