-- Returns what was appended under an id; no row if nothing was.
SELECT first_position, last_position, recorded_at, hash
FROM appends
WHERE append_id = ? AND last_position BETWEEN 1 AND (SELECT position FROM head)
