-- Write entries of the work queue, and return how many were given. The caller has locked the head, so that two callers
-- never deadlock.
--
-- An entry without a due time is deleted. Of two entries of one saga the later one counts. A saga that was notified
-- meanwhile, and is released or done, becomes due at once: a notification is never lost.
CREATE FUNCTION put_due(
    p_saga_ids text[], p_definitions text[], p_versions integer[], p_due_at timestamptz[], p_worker_ids text[],
    p_now timestamptz
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_over text[] := p_saga_ids;
    v_deleted integer;
BEGIN
    IF array_position(p_due_at, NULL) IS NOT NULL THEN
        IF array_remove(p_due_at, NULL) <> '{}' THEN
            SELECT array_agg(saga_id) INTO v_over
            FROM unnest(p_saga_ids, p_due_at) AS change (saga_id, due_at)
            WHERE due_at IS NULL;
        END IF;
        DELETE FROM due WHERE saga_id = ANY (v_over) AND NOT nudged;
        GET DIAGNOSTICS v_deleted = ROW_COUNT;
        IF v_deleted < cardinality(v_over) THEN
            UPDATE due SET due_at = least(due_at, p_now), worker_id = NULL, nudged = false WHERE saga_id = ANY (v_over);
        END IF;
        IF cardinality(v_over) = cardinality(p_saga_ids) THEN
            RETURN cardinality(p_saga_ids);
        END IF;
    END IF;

    INSERT INTO due (saga_id, definition, definition_version, due_at, worker_id)
    SELECT saga_id, definition, definition_version, due_at, worker_id
    FROM (
        SELECT DISTINCT ON (saga_id) *
        FROM unnest(p_saga_ids, p_definitions, p_versions, p_due_at, p_worker_ids) WITH ORDINALITY
            AS change (saga_id, definition, definition_version, due_at, worker_id, place)
        ORDER BY saga_id, place DESC
    ) AS latest
    WHERE due_at IS NOT NULL
    ON CONFLICT (saga_id) DO UPDATE
    SET definition = excluded.definition,
        definition_version = excluded.definition_version,
        due_at = CASE WHEN due.nudged AND excluded.worker_id IS NULL THEN least(excluded.due_at, p_now)
                      ELSE excluded.due_at END,
        worker_id = excluded.worker_id,
        nudged = due.nudged AND excluded.worker_id IS NOT NULL;
    RETURN cardinality(p_saga_ids);
END
$$;
