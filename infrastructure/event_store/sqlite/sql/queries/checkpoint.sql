-- Returns a consumer's position, and the append call that moved it there.
SELECT position, append_id FROM consumers WHERE consumer = ?
