-- Moves a consumer's checkpoint.
INSERT INTO consumers (consumer, position, append_id) VALUES (?, ?, ?)
ON CONFLICT (consumer) DO UPDATE SET position = excluded.position, append_id = excluded.append_id
