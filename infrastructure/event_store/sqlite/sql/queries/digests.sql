-- Returns the digest of one event of each stream: that of a version; no row where there is none.
SELECT e.stream_id, e.digest
FROM json_each(?) AS wanted
CROSS JOIN events AS e
WHERE e.stream_id = json_extract(wanted.value, '$[0]') AND e.version = json_extract(wanted.value, '$[1]')
  AND +e.position BETWEEN 1 AND (SELECT position FROM head)
