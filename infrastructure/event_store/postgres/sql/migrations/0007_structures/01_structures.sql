-- The structures with which the sagas of each version of a definition were started. Rows are inserted, and never changed.
CREATE TABLE structures (
    definition         text    NOT NULL,
    definition_version integer NOT NULL,
    fingerprint        text    NOT NULL,  -- the first 16 hexadecimal digits of the structure's SHA-256
    structure          text    NOT NULL,  -- canonical JSON
    PRIMARY KEY (definition, definition_version, fingerprint)
);
