-- Returns the version at which each stream ends; NULL for one without events. Rows outside of 1 to the head never count.
-- The plus keeps SQLite from searching by position instead of by stream.
SELECT wanted.value, (
    SELECT version
    FROM events
    WHERE stream_id = wanted.value AND +position BETWEEN 1 AND (SELECT position FROM head)
    ORDER BY version DESC
    LIMIT 1
)
FROM json_each(?) AS wanted
