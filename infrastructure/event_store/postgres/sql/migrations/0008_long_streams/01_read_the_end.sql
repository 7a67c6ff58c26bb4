-- The end of a stream is read from the index of its versions, from behind. A plan that is made while the tables are empty
-- would rather read the whole stream and sort it, and a session keeps its plans until the next ANALYZE.
ALTER FUNCTION append_events(
    uuid, text, bigint, integer[], boolean, text[], bigint[], text[], bigint[], text[], integer[], bytea[], bigint[],
    text[], bytea, integer[], text[], text[], integer[], timestamptz[], text[], text[], integer[], text[], text[],
    integer[], text[], bigint[], bigint[]
) SET enable_sort = off;

ALTER FUNCTION decide_appends(integer[], text[], bigint[], bigint) SET enable_sort = off;
