-- Returns the digest of one event of each stream: that of a version; no row where there is none.
SELECT e.stream_id, e.digest
FROM unnest(%s::text[], %s::bigint[]) AS wanted (stream_id, version)
JOIN events AS e ON e.stream_id = wanted.stream_id AND e.version = wanted.version
WHERE e.position >= 1 AND e.position + 0 <= (SELECT position FROM head)
