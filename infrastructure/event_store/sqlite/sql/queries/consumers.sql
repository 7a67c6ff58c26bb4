-- Returns every consumer with its position, by name.
SELECT consumer, position FROM consumers ORDER BY consumer
