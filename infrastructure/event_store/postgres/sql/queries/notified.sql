-- Returns a worker's sagas to whose streams others appended, and clears their notifications.
-- SKIP LOCKED: what is being written now is returned the next time.
WITH mine AS (
    SELECT saga_id FROM due WHERE worker_id = %s AND nudged FOR UPDATE SKIP LOCKED
)
UPDATE due SET nudged = false
FROM mine
WHERE due.saga_id = mine.saga_id
RETURNING due.saga_id
