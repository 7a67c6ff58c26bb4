-- Returns what an append call wrote; no row if it was never written.
SELECT first_position, last_position, recorded_at FROM appends WHERE append_id = ?
