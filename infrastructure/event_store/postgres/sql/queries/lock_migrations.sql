-- Waits until no other process migrates this schema.
SELECT pg_advisory_xact_lock(hashtext('sagaledger ' || %s::text))
