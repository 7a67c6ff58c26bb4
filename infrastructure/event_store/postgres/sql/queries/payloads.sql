-- Returns stream, topic, schema version and state of every event of some streams.
-- Sent as it is, with its parameter in binary: hence $1.
SELECT stream_id, topic, schema_version, state
FROM events
WHERE stream_id = ANY($1::text[]) AND position >= 1 AND position + 0 <= (SELECT position FROM head)
ORDER BY stream_id, version
