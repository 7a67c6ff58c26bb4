-- Returns the snapshots of the streams after one, by stream.
SELECT stream_id, version, schema, state FROM snapshots WHERE stream_id > %s ORDER BY stream_id LIMIT %s
