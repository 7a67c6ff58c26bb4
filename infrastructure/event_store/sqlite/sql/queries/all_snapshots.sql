-- Returns snapshots after a row, in the order of the table.
SELECT rowid, stream_id, version, schema, state FROM snapshots WHERE rowid > ? ORDER BY rowid LIMIT ?
