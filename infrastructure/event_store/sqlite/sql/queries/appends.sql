-- Returns links of the hash chain after a position, in order.
SELECT append_id, first_position, last_position, recorded_at, hash
FROM appends
WHERE last_position > ?
ORDER BY last_position
LIMIT ?
