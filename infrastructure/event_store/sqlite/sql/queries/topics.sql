-- Returns the types of events that the log has: topic, schema version and how many there are.
SELECT topic, schema_version, count(*) FROM events
WHERE position BETWEEN 1 AND (SELECT position FROM head)
GROUP BY topic, schema_version
ORDER BY topic, schema_version
