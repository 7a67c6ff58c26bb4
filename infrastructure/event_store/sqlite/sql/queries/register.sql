-- Inserts a worker and returns its epoch.
INSERT INTO workers (worker_id, host, pid, started_at, lease_until) VALUES ('', ?, ?, ?, ?) RETURNING epoch
