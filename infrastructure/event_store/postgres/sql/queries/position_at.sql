-- Returns the last position recorded at or before an instant.
SELECT last_position
FROM appends
WHERE recorded_at <= %s AND last_position >= 1 AND last_position + 0 <= (SELECT position FROM head)
ORDER BY recorded_at DESC, last_position DESC
LIMIT 1
