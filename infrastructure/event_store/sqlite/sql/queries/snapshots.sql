-- Returns the snapshots of some streams.
SELECT stream_id, version, schema, state FROM snapshots WHERE stream_id IN (SELECT value FROM json_each(?))
