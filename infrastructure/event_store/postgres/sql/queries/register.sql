-- Inserts a worker, and returns its id and epoch.
WITH next AS (SELECT nextval('worker_epochs') AS epoch)
INSERT INTO workers (worker_id, epoch, host, pid, started_at, lease_until)
SELECT %(host)s::text || '-' || %(pid)s::integer || '-' || epoch, epoch, %(host)s, %(pid)s, clock_timestamp(),
       clock_timestamp() + make_interval(secs => %(lease_seconds)s)
FROM next
RETURNING worker_id, epoch
