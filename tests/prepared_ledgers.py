"""Empty ledgers that are made once and used by many tests: to create one takes longer than most tests do.

A SQLite file is copied. A PostgreSQL schema is emptied and used again, if the test before left its definitions as
they were and no connection of that test is open; otherwise another one is made. The tests of what creates a ledger
take URLs that lead to nothing, and not these.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.shop.app import APP

Create = Callable[[str], None]
"""Creates the ledger at a URL."""

_NUMBERS = count(1)
_GOODBYE_SECONDS = 0.05
"""How long to wait for the server to see that the connections of the last test were closed."""

_FUNCTIONS = """
CREATE SCHEMA prepared;

CREATE FUNCTION prepared.definitions(ledger regnamespace) RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(part, E'\\n' ORDER BY part)) FROM (
        SELECT concat_ws(' ', 'namespace', nspowner, nspacl) FROM pg_namespace WHERE oid = ledger
        UNION ALL
        SELECT concat_ws(' ', 'class', oid, relname, relkind, relowner, relacl, reloptions, relpersistence,
                         relhasrules, relrowsecurity, relforcerowsecurity, relreplident)
        FROM pg_class WHERE relnamespace = ledger
        UNION ALL
        SELECT concat_ws(' ', 'attribute', attrelid, attnum, a.xmin)
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = ledger
        UNION ALL
        SELECT concat_ws(' ', 'default', d.oid, d.xmin)
        FROM pg_attrdef d JOIN pg_class c ON c.oid = adrelid WHERE relnamespace = ledger
        UNION ALL
        SELECT concat_ws(' ', 'index', indexrelid, indisvalid, indisready, indislive, indisunique)
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = ledger
        UNION ALL
        SELECT concat_ws(' ', 'trigger', t.oid, t.xmin)
        FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = ledger
        UNION ALL
        SELECT concat_ws(' ', 'constraint', oid, xmin) FROM pg_constraint WHERE connamespace = ledger
        UNION ALL
        SELECT concat_ws(' ', 'function', oid, xmin) FROM pg_proc WHERE pronamespace = ledger
    ) AS parts (part)
$$;

CREATE FUNCTION prepared.empty(ledger regnamespace, seeds regnamespace) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
    differs boolean;
    full_tables text[] := '{}';
    rows_of text := '(SELECT string_agg(t::text, E''\\n'' ORDER BY t::text) FROM %s t)';
BEGIN
    SET LOCAL session_replication_role = replica;  -- the log refuses to be emptied
    PERFORM setval(c.oid::regclass, seqstart, false)
    FROM pg_class c JOIN pg_sequence ON seqrelid = c.oid WHERE relnamespace = ledger;
    FOR found IN
        SELECT c.oid::regclass AS name, s.oid::regclass AS seed
        FROM pg_class c LEFT JOIN pg_class s ON s.relnamespace = seeds AND s.relname = c.relname
        WHERE c.relnamespace = ledger AND c.relkind = 'r'
    LOOP
        IF found.seed IS NULL THEN
            EXECUTE format('DROP TABLE %s CASCADE', found.name);
        ELSE
            EXECUTE format('SELECT ' || rows_of || ' IS DISTINCT FROM ' || rows_of, found.name, found.seed)
            INTO differs;
            IF differs THEN
                EXECUTE format('TRUNCATE %s', found.name);
                EXECUTE format('INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s', found.name, found.seed);
            END IF;
        END IF;
    END LOOP;
END $$;
"""
_SEED = "CREATE TABLE {}.{} AS TABLE {}.{}"
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename NOT LIKE 'pooled%'
"""


def create_log(url: str) -> None:
    """Create a ledger without views."""
    open_backend(url, create=True).close()


def create_ledger(url: str) -> None:
    """Create a ledger with the views of sagas."""
    Ledger.open(url, create=True).close()


def create_shop(url: str) -> None:
    """Create a ledger with the views of the shop."""
    Ledger.open(url, APP, create=True).close()


class PreparedSchemas:
    """The ledgers of one kind in a PostgreSQL server."""

    def __init__(self, server: str, create: Create) -> None:
        self._server = server
        self._name = create.__name__.replace("create", "prepared")
        self._create = create
        self._seeds: str | None = None
        """A schema that has the tables with the rows of an empty ledger."""
        self._returned: list[tuple[str, str]] = []
        """The schemas that tests have given back, each with what its definitions were."""

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of an empty ledger, for as long as the block lasts."""
        schema, definitions = self._emptied() or self._made()
        yield self._url(schema)
        self._returned.append((schema, definitions))

    def _url(self, schema: str) -> str:
        return f"{self._server}&options={quote(f'-csearch_path={schema}')}"

    def _made(self) -> tuple[str, str]:
        schema = f"{self._name}_{next(_NUMBERS)}"
        with psycopg.connect(self._server, autocommit=True) as server:
            server.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
        self._create(self._url(schema))
        with psycopg.connect(self._server, autocommit=True) as server:
            if server.execute("SELECT to_regnamespace('prepared') IS NULL").fetchone() == (True,):
                server.execute(_FUNCTIONS)
            if self._seeds is None:
                self._seeds = self._copied(server, schema)
            return schema, _definitions(server, schema)

    def _copied(self, server: Connection[tuple[object, ...]], schema: str) -> str:
        seeds = f"{self._name}_seeds"
        server.execute(SQL("CREATE SCHEMA {}").format(Identifier(seeds)))
        for (table,) in server.execute(_TABLES, [schema]).fetchall():
            names = map(Identifier, (seeds, str(table), schema, str(table)))
            server.execute(SQL(_SEED).format(*names))
        return seeds

    def _emptied(self) -> tuple[str, str] | None:
        """A schema that is again as it was when it was made; None if there is none."""
        if not self._returned:
            return None
        schema, definitions = self._returned.pop()
        with psycopg.connect(self._server, autocommit=True) as server:
            if not _left(server):
                return None
            server.execute("SELECT prepared.empty(%s::regnamespace, %s::regnamespace)", [schema, self._seeds])
            return (schema, definitions) if _definitions(server, schema) == definitions else None


class PreparedFiles:
    """The ledgers of one kind in SQLite files, which are copies of one."""

    def __init__(self, folder: Path, create: Create) -> None:
        self._path = folder / "prepared.db"
        self._create = create

    def copy_to(self, path: Path) -> str:
        """Make an empty ledger; returns its URL."""
        if not self._path.exists():
            self._create(f"sqlite:///{self._path}")
        shutil.copyfile(self._path, path)
        return f"sqlite:///{path}"


def _definitions(server: Connection[tuple[object, ...]], schema: str) -> str:
    found = server.execute("SELECT prepared.definitions(%s::regnamespace)", [schema]).fetchone()
    assert found is not None
    return str(found[0])


def _left(server: Connection[tuple[object, ...]]) -> bool:
    """Whether every connection of the last test is closed: what is still open might write into the next one."""
    deadline = time.monotonic() + _GOODBYE_SECONDS
    while server.execute(_OTHERS).fetchone() != (0,):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True
