-- Returns the snapshots of some streams.
SELECT stream_id, version, schema, state FROM snapshots WHERE stream_id = ANY(%s::text[])
