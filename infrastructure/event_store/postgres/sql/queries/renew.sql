-- Extends a lease; changes no row if it was taken over.
UPDATE workers SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
WHERE worker_id = %(worker_id)s AND epoch = %(epoch)s
