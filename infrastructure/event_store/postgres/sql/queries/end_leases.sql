-- Ends the leases that have run out and returns the workers' ids.
DELETE FROM workers WHERE lease_until < clock_timestamp() RETURNING worker_id
