-- Creates the roles that do not exist. None of them logs in: people and programs do, as members of one of them.
-- No right limits a superuser, and a member of the owner may do what the owner may: neither is one of the other roles.
DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[{owner_name}, {app_name}, {requester_name}, {reader_name}] LOOP
        IF to_regrole(quote_ident(wanted)) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
    FOREACH wanted IN ARRAY ARRAY[{app_name}, {requester_name}, {reader_name}] LOOP
        IF pg_has_role(wanted, {owner_name}, 'MEMBER') THEN
            RAISE EXCEPTION 'role % is a superuser or a member of role %, and so has every right on the ledger', wanted,
                {owner_name} USING ERRCODE = 'invalid_role_specification';
        END IF;
    END LOOP;
END
$roles$;
