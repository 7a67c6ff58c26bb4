-- The requester: programs that ask for sagas in transactions of their own (`start_in`), and do nothing else. It reads
-- what a definition was when it was recorded, and no saga.
REVOKE ALL ON
    {schema}.events, {schema}.appends, {schema}.head, {schema}.due, {schema}.workers, {schema}.snapshots,
    {schema}.consumers, {schema}.definitions, {schema}.structures, {schema}.requests, {schema}.sagaledger_schema
    FROM {requester};
GRANT USAGE ON SCHEMA {schema} TO {requester};
GRANT SELECT ON {schema}.definitions, {schema}.structures, {schema}.sagaledger_schema TO {requester};
GRANT INSERT (saga_id, definition, definition_version, fingerprint, input, begins_at, actor)
    ON {schema}.requests TO {requester};
