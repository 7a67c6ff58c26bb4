-- Returns one row if a lease holds.
SELECT 1 FROM workers WHERE worker_id = ? AND epoch = ?
