-- Stores a snapshot, unless the stored one is newer and not beyond its stream.
INSERT INTO snapshots (stream_id, version, schema, state) VALUES (?, ?, ?, ?)
ON CONFLICT (stream_id) DO UPDATE
SET version = excluded.version, schema = excluded.schema, state = excluded.state
WHERE excluded.version >= snapshots.version
   OR snapshots.version > (
       SELECT max(version)
       FROM events AS e
       WHERE e.stream_id = snapshots.stream_id AND +e.position BETWEEN 1 AND (SELECT position FROM head)
   )
