-- Returns every worker with a lease, with the number of sagas that it holds.
SELECT w.worker_id, w.epoch, w.host, w.pid, w.started_at, w.lease_until,
       (SELECT count(*) FROM due WHERE due.worker_id = w.worker_id)
FROM workers AS w
ORDER BY w.epoch
