-- Returns every object of the schema: name, and the text of a trigger that is enabled or of a function.
SELECT relname::text AS name, NULL AS definition
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT conname::text, NULL FROM pg_catalog.pg_constraint WHERE connamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT t.tgname::text, pg_get_triggerdef(t.oid, true)
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
UNION ALL
SELECT proname::text, prosrc FROM pg_catalog.pg_proc WHERE pronamespace = to_regnamespace(quote_ident(current_schema()))
