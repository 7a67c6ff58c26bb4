-- Returns one row if some lease has run out.
SELECT 1 FROM workers WHERE lease_until < clock_timestamp() LIMIT 1
