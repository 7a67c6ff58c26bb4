-- Locks the head, as every append does.
SELECT position FROM head FOR UPDATE
