-- Returns the head: position, hash, time.
SELECT position, hash, recorded_at FROM head
