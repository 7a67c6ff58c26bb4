-- Returns the version at which a stream ended before a position; NULL for none.
SELECT max(version) FROM events WHERE stream_id = ? AND position >= 1 AND position < ?
