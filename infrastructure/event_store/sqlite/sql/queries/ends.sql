-- Returns the version at which each stream ends; NULL for one without events.
SELECT wanted.value, (SELECT max(version) FROM events WHERE stream_id = wanted.value)
FROM json_each(?) AS wanted
