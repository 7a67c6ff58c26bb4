-- Returns every object of the schema: name, and the text of a trigger.
SELECT name, iif(type = 'trigger', sql, NULL) FROM sqlite_master
