-- Returns the schema that the connection works in; NULL if it does not exist.
SELECT current_schema()
