-- Ends every lease and returns the workers' ids.
DELETE FROM workers RETURNING worker_id
