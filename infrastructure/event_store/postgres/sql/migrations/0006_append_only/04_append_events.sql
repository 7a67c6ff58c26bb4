-- Execute one append call: the whole transaction, in one round trip. Rows outside of 1 to the head never count.
--
-- `p_sizes` has the number of events of each append. The other event arrays have one element for each event, and
-- `p_digests` has the digests one after the other. `p_opening_*` are the first event of each stream in the call.
-- `p_suspect` says that the call contradicts itself, so that some append must conflict. `p_correlation_ids` may be
-- empty: then every event belongs to its own stream's process. `p_due_appends` and `p_nudge_appends` have the
-- ordinal, from 1, of each entry's append.
--
-- It returns numbers, because a row of named columns takes longer to send than many an append takes to write:
--   0, first and last position, microseconds since 1970, and the `refusals` of `decide_appends`: appended;
--   1, first and last position, microseconds since 1970: this call was written before;
--   2: the lease does not hold;
--   3, the consumer's ordinal in the call, its position: the checkpoint was moved.
--
-- Generic plans suit calls of every size; left to itself, PostgreSQL would plan some statements anew for each call.
CREATE OR REPLACE FUNCTION append_events(
    p_append_id uuid, p_worker_id text, p_epoch bigint,
    p_sizes integer[], p_suspect boolean, p_opening_streams text[], p_opening_versions bigint[],
    p_stream_ids text[], p_versions bigint[], p_topics text[], p_schema_versions integer[], p_states bytea[],
    p_causation_positions bigint[], p_metas text[], p_digests bytea,
    p_due_appends integer[] DEFAULT '{}', p_due_sagas text[] DEFAULT '{}', p_due_definitions text[] DEFAULT '{}',
    p_due_versions integer[] DEFAULT '{}', p_due_at timestamptz[] DEFAULT '{}', p_due_workers text[] DEFAULT '{}',
    p_correlation_ids text[] DEFAULT '{}',
    p_nudge_appends integer[] DEFAULT '{}', p_nudge_sagas text[] DEFAULT '{}', p_nudge_definitions text[] DEFAULT '{}',
    p_nudge_versions integer[] DEFAULT '{}',
    p_consumers text[] DEFAULT '{}', p_expected bigint[] DEFAULT '{}', p_positions bigint[] DEFAULT '{}'
) RETURNS bigint[] LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_leased boolean;
    v_head bigint;
    v_hash bytea;
    v_now timestamptz;
    v_microseconds bigint;
    v_digests bytea := p_digests;
    v_last bigint;
    v_kept integer[];
    v_conflicts integer[] := '{}';
    v_refusals bigint[];
    v_answer bigint[];
    v_changed integer;
BEGIN
    -- From here to the commit we are alone: positions are contiguous and become visible in order, no stream grows and
    -- no lease ends (what ends one holds this lock, too).
    SELECT h.position, h.hash, greatest(clock_timestamp(), h.recorded_at)
    INTO v_head, v_hash, v_now
    FROM head AS h FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the row of table head is missing' USING ERRCODE = 'restrict_violation';
    END IF;

    -- A statement of its own: it sees what was committed while we waited for the lock. Does the lease hold, and does each
    -- stream end just before where the call begins in it?
    SELECT p_worker_id IS NULL OR w.worker_id IS NOT NULL,
           p_suspect OR EXISTS (
               SELECT
               FROM (SELECT unnest(p_opening_streams), unnest(p_opening_versions)) AS opening (stream_id, version)
               WHERE coalesce(version <> 1 + (  -- scalar: a join may be planned as a hash of every event there is
                   SELECT e.version FROM events AS e
                   WHERE e.stream_id = opening.stream_id AND e.position >= 1 AND e.position + 0 <= v_head
                   ORDER BY e.version DESC LIMIT 1
               ), version NOT IN (0, 1))
           )
    INTO v_leased, p_suspect
    FROM (SELECT) AS call
    LEFT JOIN workers AS w ON w.worker_id = p_worker_id AND w.epoch = p_epoch;

    -- A call that was written before is always suspect: some stream has gone on since it began there. No other call has
    -- to look for itself among all there are.
    IF p_suspect THEN
        SELECT ARRAY[1, first_position, last_position, (extract(epoch FROM recorded_at) * 1000000)::bigint]
        INTO v_answer
        FROM appends
        WHERE append_id = p_append_id AND last_position BETWEEN 1 AND v_head;
        IF FOUND THEN
            RETURN v_answer;
        END IF;
    END IF;

    IF NOT v_leased THEN
        RETURN ARRAY[2];
    END IF;

    IF cardinality(p_consumers) > 0 THEN
        SELECT ARRAY[3, wanted.place, coalesce(c.position, 0)]
        INTO v_answer
        FROM unnest(p_consumers, p_expected, p_positions) WITH ORDINALITY AS wanted (consumer, expected, position, place)
        LEFT JOIN consumers AS c ON c.consumer = wanted.consumer
        WHERE coalesce(c.position, 0) <> wanted.expected
          AND NOT coalesce(c.position = wanted.position AND c.append_id = p_append_id, false)
        LIMIT 1;
        IF FOUND THEN
            RETURN v_answer;
        END IF;
    END IF;

    v_microseconds := extract(epoch FROM v_now) * 1000000;

    IF p_suspect THEN  -- the appends that conflict are left out, and the others are written all the same
        SELECT decided.kept, decided.conflicts, decided.refusals
        INTO v_kept, v_conflicts, v_refusals
        FROM decide_appends(p_sizes, p_stream_ids, p_versions, v_head) AS decided;
        v_last := v_head + cardinality(v_kept);
        v_answer := ARRAY[0, v_head + 1, v_last, v_microseconds] || v_refusals;
        IF cardinality(v_conflicts) = cardinality(p_sizes) THEN
            RETURN v_answer;
        END IF;
        SELECT string_agg(substring(p_digests FROM (place - 1) * 32 + 1 FOR 32), '' ORDER BY place)
        INTO v_digests
        FROM unnest(v_kept) AS kept (place);
    ELSE
        v_last := v_head + cardinality(p_stream_ids);
        v_answer := ARRAY[0, v_head + 1, v_last, v_microseconds];
    END IF;

    IF v_last > v_head THEN  -- the head first: a row beyond it is refused
        v_hash := sha256(v_hash || int8send(v_last) || int8send(v_microseconds) || v_digests);
        UPDATE head SET position = v_last, hash = v_hash, recorded_at = v_now;
        INSERT INTO appends (append_id, first_position, last_position, recorded_at, hash)
        VALUES (p_append_id, v_head + 1, v_last, v_now, v_hash);
    END IF;

    IF NOT p_suspect THEN
        INSERT INTO events
        SELECT v_head + place, stream_id, version, topic, schema_version, state, correlation_id,
               causation_position, meta, v_now, substring(p_digests FROM (place - 1) * 32 + 1 FOR 32)
        FROM (  -- side by side, row by row: functions after FROM would each be copied whole before the first row
            SELECT unnest(p_stream_ids), unnest(p_versions), unnest(p_topics), unnest(p_schema_versions),
                   unnest(p_states), unnest(p_correlation_ids), unnest(p_causation_positions), unnest(p_metas),
                   generate_subscripts(p_stream_ids, 1)
        ) AS sent (stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta, place);
    ELSE
        INSERT INTO events
        SELECT v_head + number, stream_id, version, topic, schema_version, state, correlation_id,
               causation_position, meta, v_now, substring(p_digests FROM (place::integer - 1) * 32 + 1 FOR 32)
        FROM unnest(p_stream_ids, p_versions, p_topics, p_schema_versions, p_states, p_correlation_ids,
                    p_causation_positions, p_metas) WITH ORDINALITY
            AS sent (stream_id, version, topic, schema_version, state, correlation_id, causation_position, meta,
                     place)
        JOIN unnest(v_kept) WITH ORDINALITY AS kept (place, number) USING (place);
    END IF;

    IF cardinality(p_due_sagas) > 0 AND cardinality(v_conflicts) = 0 THEN
        -- assigned, and not performed, which would run a query for it
        v_changed := put_due(p_due_sagas, p_due_definitions, p_due_versions, p_due_at, p_due_workers, v_now);
    ELSIF cardinality(p_due_sagas) > 0 THEN
        PERFORM put_due(array_agg(saga_id ORDER BY place), array_agg(definition ORDER BY place),
                        array_agg(definition_version ORDER BY place), array_agg(due_at ORDER BY place),
                        array_agg(worker_id ORDER BY place), v_now)
        FROM unnest(p_due_appends, p_due_sagas, p_due_definitions, p_due_versions, p_due_at, p_due_workers)
            WITH ORDINALITY AS change (append, saga_id, definition, definition_version, due_at, worker_id, place)
        WHERE append <> ALL (v_conflicts);
    END IF;
    IF cardinality(p_nudge_sagas) > 0 THEN
        PERFORM nudge(array_agg(saga_id ORDER BY place), array_agg(definition ORDER BY place),
                      array_agg(definition_version ORDER BY place), v_now)
        FROM unnest(p_nudge_appends, p_nudge_sagas, p_nudge_definitions, p_nudge_versions) WITH ORDINALITY
            AS nudged (append, saga_id, definition, definition_version, place)
        WHERE append <> ALL (v_conflicts);
    END IF;
    IF cardinality(p_consumers) > 0 THEN
        INSERT INTO consumers (consumer, position, append_id)
        SELECT consumer, position, p_append_id FROM unnest(p_consumers, p_positions) AS advance (consumer, position)
        ON CONFLICT (consumer) DO UPDATE SET position = excluded.position, append_id = excluded.append_id;
    END IF;
    RETURN v_answer;
END
$$;
