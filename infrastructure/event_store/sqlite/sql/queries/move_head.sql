-- Moves the head.
UPDATE head SET position = ?, hash = ?, recorded_at = ?
