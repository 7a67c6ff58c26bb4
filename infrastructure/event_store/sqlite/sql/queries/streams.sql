-- Returns the events of many streams, each beyond its own version, by stream and version.
SELECT e.position, e.stream_id, e.version, e.topic, e.schema_version, e.state, e.correlation_id,
       e.causation_position, e.meta, e.recorded_at, e.digest
FROM json_each(:after) AS wanted
CROSS JOIN events AS e  -- CROSS: search the index for each wanted stream
WHERE e.stream_id = json_extract(wanted.value, '$[0]') AND e.version > json_extract(wanted.value, '$[1]')
  AND +e.position BETWEEN 1 AND (SELECT position FROM head)
ORDER BY e.stream_id, e.version
