-- A row of the log continues it, and the head has moved there before: no row is ever outside of 1 to the head.
-- A row at a position that another one has is refused here: INSERT OR REPLACE calls no trigger for what it deletes.
-- ROLLBACK, as in `insert_event`: to be able to undo one INSERT alone, SQLite would copy the pages that it changes.
DROP TRIGGER IF EXISTS events_continue;
CREATE TRIGGER events_continue BEFORE INSERT ON events
WHEN NEW.position > (SELECT position FROM head)
  OR NEW.position < 1
  OR EXISTS (SELECT 1 FROM events WHERE position = NEW.position)
BEGIN
    SELECT RAISE(ROLLBACK, 'the log is append-only: an event is inserted at its end only, by an append');
END;

DROP TRIGGER IF EXISTS appends_continue;
CREATE TRIGGER appends_continue BEFORE INSERT ON appends
WHEN NEW.last_position <> (SELECT position FROM head)
  OR NEW.hash <> (SELECT hash FROM head)
  OR NEW.first_position NOT BETWEEN 1 AND NEW.last_position
  OR EXISTS (SELECT 1 FROM appends WHERE last_position = NEW.last_position OR append_id = NEW.append_id)
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: a link is inserted at its end only, by an append');
END;
