-- Deletes the entry of a saga that was not notified.
DELETE FROM due WHERE saga_id = ? AND nudged = 0
