-- Stores a snapshot, unless the stored one is newer.
INSERT INTO snapshots (stream_id, version, schema, state) VALUES (?, ?, ?, ?)
ON CONFLICT (stream_id) DO UPDATE
SET version = excluded.version, schema = excluded.schema, state = excluded.state
WHERE excluded.version >= snapshots.version
