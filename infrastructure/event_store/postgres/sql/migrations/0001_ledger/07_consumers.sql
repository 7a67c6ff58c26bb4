-- How far each consumer of the log has come, and the append call that moved it there.
CREATE TABLE consumers (
    consumer  text   PRIMARY KEY,
    position  bigint NOT NULL,
    append_id uuid   NOT NULL
);
