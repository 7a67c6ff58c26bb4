-- Extends a lease; changes no row if it was taken over.
UPDATE workers SET lease_until = ? WHERE worker_id = ? AND epoch = ?
