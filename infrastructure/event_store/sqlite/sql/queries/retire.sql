-- Ends a lease.
DELETE FROM workers WHERE worker_id = ? AND epoch = ?
