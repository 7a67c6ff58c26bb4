-- Stores snapshots, except where the stored one is newer and not beyond its stream.
INSERT INTO snapshots (stream_id, version, schema, state)
SELECT DISTINCT ON (stream_id) stream_id, version, schema, state
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[]) AS taken (stream_id, version, schema, state)
ORDER BY stream_id, version DESC
ON CONFLICT (stream_id) DO UPDATE
SET version = excluded.version, schema = excluded.schema, state = excluded.state
WHERE excluded.version >= snapshots.version
   OR snapshots.version > (
       SELECT max(version)
       FROM events AS e
       WHERE e.stream_id = snapshots.stream_id AND e.position >= 1 AND e.position + 0 <= (SELECT position FROM head)
   )
