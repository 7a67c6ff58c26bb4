-- Make sagas due now. A worker that holds one keeps it, and is notified. The caller has locked the head.
CREATE FUNCTION nudge(p_saga_ids text[], p_definitions text[], p_versions integer[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO due (saga_id, definition, definition_version, due_at)
    SELECT DISTINCT ON (saga_id) saga_id, definition, definition_version, p_now
    FROM unnest(p_saga_ids, p_definitions, p_versions) WITH ORDINALITY
        AS nudged (saga_id, definition, definition_version, place)
    ORDER BY saga_id, place DESC
    ON CONFLICT (saga_id) DO UPDATE
    SET due_at = least(due.due_at, excluded.due_at), nudged = due.worker_id IS NOT NULL;
END
$$;
