-- Ends a lease.
DELETE FROM workers WHERE worker_id = %s AND epoch = %s
