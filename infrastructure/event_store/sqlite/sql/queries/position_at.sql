-- Returns the last position recorded at or before an instant.
SELECT last_position
FROM appends
WHERE recorded_at <= ? AND last_position BETWEEN 1 AND (SELECT position FROM head)
ORDER BY recorded_at DESC, last_position DESC
LIMIT 1
