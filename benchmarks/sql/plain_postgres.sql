-- A table of the shape and the keys of `events`, without anything that keeps a ledger's promises.
CREATE TABLE plain (LIKE events INCLUDING INDEXES);
