-- Returns stream, topic, schema version and state of every event of some streams.
SELECT stream_id, topic, schema_version, state
FROM events
WHERE stream_id IN (SELECT value FROM json_each(?)) AND +position BETWEEN 1 AND (SELECT position FROM head)
ORDER BY stream_id, version
