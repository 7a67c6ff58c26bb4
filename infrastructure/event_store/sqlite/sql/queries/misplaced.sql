-- Returns events whose version does not follow the one before it in their stream.
SELECT position, stream_id, version, previous_version
FROM (
    SELECT position, stream_id, version,
           lag(version) OVER streams AS previous_version,
           lag(position) OVER streams AS previous_position
    FROM events
    WHERE position BETWEEN 1 AND (SELECT position FROM head)
    WINDOW streams AS (PARTITION BY stream_id ORDER BY version, position)
)
WHERE version <> previous_version + 1
   OR position < previous_position
   OR (previous_version IS NULL AND version NOT IN (0, 1))
ORDER BY position
LIMIT ?
