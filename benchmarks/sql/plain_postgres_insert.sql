-- Many rows in one statement, one array for each column: faster than a VALUES list of as many rows.
INSERT INTO plain
SELECT * FROM unnest(
    %b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::integer[], %b::bytea[], %b::text[], %b::bigint[],
    %b::text[], %b::timestamptz[], %b::bytea[]
);
