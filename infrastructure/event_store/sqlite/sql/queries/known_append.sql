-- Returns what an append call wrote; no row if it was never written.
SELECT first_position, last_position, recorded_at FROM appends WHERE append_id = ? AND last_position BETWEEN 1 AND (SELECT position FROM head)
