-- Returns one row if a lease holds, and keeps it from ending before the commit.
SELECT 1 FROM workers WHERE worker_id = %s AND epoch = %s FOR KEY SHARE
