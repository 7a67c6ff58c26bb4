-- Gives back the start requests that a worker has taken.
UPDATE requests SET worker_id = NULL WHERE worker_id = %s
