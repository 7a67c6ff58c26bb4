-- Returns links of the hash chain after a position, in order.
SELECT append_id, first_position, last_position, recorded_at, hash
FROM appends
WHERE last_position > greatest(%s, 0) AND last_position <= (SELECT position FROM head)
ORDER BY last_position
LIMIT %s
