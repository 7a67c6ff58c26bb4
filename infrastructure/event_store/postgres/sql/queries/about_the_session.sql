-- The session behind a connection, and what the role has set there. What a role or a database says about reading only
-- is a default for people; in the server's own configuration it fences off a demoted primary or a full disk, and stays.
SELECT
  pg_backend_pid(),
  current_schema(),
  current_setting('search_path'),
  current_setting('synchronous_commit'),
  (SELECT setting = 'on' AND source NOT IN ('configuration file', 'command line')
   FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'),
  pg_is_in_recovery()
