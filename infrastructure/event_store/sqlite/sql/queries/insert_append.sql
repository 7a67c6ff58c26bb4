-- Inserts a link of the hash chain.
INSERT INTO appends (append_id, first_position, last_position, recorded_at, hash) VALUES (?, ?, ?, ?, ?)
