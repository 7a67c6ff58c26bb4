-- Rows outside of 1 to the head never count, so that the function takes the head (`p_head`).
--
-- Decide each append of a call in which some append conflicts, by the rules of `conflict_rules.py`.
--
-- `kept` has the ordinals, from 1, of the events whose appends do not conflict; `conflicts` those of the appends that
-- do. `refusals` has three numbers for each conflict: the append's ordinal, the ordinal of the event that does not
-- continue its stream, and the version at which that stream ends.
--
-- `v_lacks` has, for each stream, the lowest version that a conflicting append would have written there, unless an
-- accepted append before it wrote that version. A later append beyond it conflicts too, even if another event has
-- that version now.
DROP FUNCTION IF EXISTS decide_appends(integer[], text[], bigint[]);
CREATE OR REPLACE FUNCTION decide_appends(
    p_sizes integer[], p_stream_ids text[], p_versions bigint[], p_head bigint,
    OUT kept integer[], OUT conflicts integer[], OUT refusals bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_streams integer[];  -- the number of each event's stream: what follows has one element for each stream
    v_versions bigint[] := p_versions;
    v_ends bigint[];  -- where it ends, in the log and with what is kept; NULL: it has no events
    v_written bigint[];
    v_lacks bigint[];
    v_ahead bigint[];  -- where it ends with the append at hand, if that has events there
    v_ahead_in integer[];
    v_stream integer;
    v_version bigint;
    v_is_ahead boolean;
    v_begin integer := 1;
    v_end integer;
BEGIN
    kept := '{}';
    conflicts := '{}';
    refusals := '{}';
    SELECT array_agg(number ORDER BY place)
    INTO v_streams
    FROM (
        SELECT place, dense_rank() OVER (ORDER BY stream_id) AS number
        FROM unnest(p_stream_ids) WITH ORDINALITY AS sent (stream_id, place)
    ) AS numbered;
    SELECT array_agg(latest.version ORDER BY sent.stream_id), array_agg(NULL::bigint), array_agg(NULL::bigint),
           array_agg(NULL::bigint), array_agg(0)
    INTO v_ends, v_written, v_lacks, v_ahead, v_ahead_in
    FROM (SELECT DISTINCT stream_id FROM unnest(p_stream_ids) AS sent (stream_id)) AS sent
    LEFT JOIN LATERAL (
        SELECT e.version FROM events AS e
        WHERE e.stream_id = sent.stream_id AND e.position >= 1 AND e.position + 0 <= p_head
        ORDER BY e.version DESC LIMIT 1
    ) AS latest ON true;

    <<appends>>
    FOR v_append IN 1 .. cardinality(p_sizes) LOOP
        v_end := v_begin + p_sizes[v_append] - 1;
        FOR v_place IN v_begin .. v_end LOOP
            v_stream := v_streams[v_place];
            v_version := v_versions[v_place];
            v_is_ahead := v_ahead_in[v_stream] = v_append;
            IF (NOT v_is_ahead AND v_version > v_lacks[v_stream])
                OR coalesce(v_version <> CASE WHEN v_is_ahead THEN v_ahead[v_stream] ELSE v_ends[v_stream] END + 1,
                            v_version NOT IN (0, 1))
            THEN
                conflicts := conflicts || v_append;
                refusals := refusals || ARRAY[v_append, v_place, coalesce(v_ends[v_stream], 0)];
                FOR v_lost IN v_begin .. v_end LOOP
                    v_stream := v_streams[v_lost];
                    v_version := v_versions[v_lost];
                    IF v_version > coalesce(v_written[v_stream], -1) THEN
                        v_lacks[v_stream] := least(v_version, v_lacks[v_stream]);
                    END IF;
                END LOOP;
                v_begin := v_end + 1;
                CONTINUE appends;
            END IF;
            v_ahead[v_stream] := v_version;
            v_ahead_in[v_stream] := v_append;
        END LOOP;
        FOR v_place IN v_begin .. v_end LOOP
            v_stream := v_streams[v_place];
            v_version := v_versions[v_place];
            kept := kept || v_place;
            v_ends[v_stream] := v_version;
            v_written[v_stream] := v_version;
        END LOOP;
        v_begin := v_end + 1;
    END LOOP;
END
$$;
