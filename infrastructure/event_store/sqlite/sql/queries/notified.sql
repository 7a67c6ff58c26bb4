-- Returns a worker's sagas to whose streams others appended, and clears their notifications.
UPDATE due SET nudged = 0 WHERE worker_id = ? AND nudged = 1 RETURNING saga_id
