-- Returns rows of the log that are outside of 1 to the head: table and position.
SELECT 'events' AS place, position FROM events WHERE position < 1 OR position > (SELECT position FROM head)
UNION ALL
SELECT 'appends', last_position FROM appends WHERE last_position < 1 OR last_position > (SELECT position FROM head)
LIMIT %s
