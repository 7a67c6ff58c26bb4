"""The roles of `docs/operating.md`: what a worker's role and an auditor's can do, and what they cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from sagaledger import App, Ledger, Saga, Worker
from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.errors import PermanentlyUnavailable
from sagaledger.infrastructure.event_store.verify import verify

DOCUMENT = Path(__file__).parents[2] / "docs" / "operating.md"
SCHEMA = "ledger_of_roles"
SECONDS_MAX = 30.0

counting = Saga("counting", input=int)


@counting.step(compensable=False)
async def count(number: int, _: object) -> int:
    return number + 1


APP = App(sagas=[counting])


def documented() -> str:
    """Return the statements of the document, for the schema of this test."""
    block = DOCUMENT.read_text(encoding="utf-8").partition("<!-- roles -->")[2]
    statements = block.partition("```sql\n")[2].partition("```")[0]
    return statements.replace("SCHEMA ledger ", f"SCHEMA {SCHEMA} ").replace(" ledger.", f" {SCHEMA}.")


@pytest.fixture
def server(postgres_server: str) -> Iterator[str]:
    """A server with a ledger whose owner has executed the document's statements."""
    with psycopg.connect(postgres_server, autocommit=True) as owner:
        owner.execute(f"CREATE SCHEMA {SCHEMA}".encode())
        with Ledger.open(url_of(postgres_server, "postgres"), APP, create=True) as ledger:
            ledger.projector().catch_up()
        owner.execute(documented().encode())
        yield postgres_server
        owner.execute(b"DROP OWNED BY ledger_worker, ledger_auditor")
        owner.execute(b"DROP ROLE ledger_worker, ledger_auditor")
        owner.execute(f"DROP SCHEMA {SCHEMA} CASCADE".encode())


def url_of(server: str, role: str) -> str:
    return server.replace("postgres:@", f"{role}@") + f"&options={quote(f'-csearch_path={SCHEMA}')}"


def test_a_workers_role_drives_sagas_and_cannot_change_the_log(server: str) -> None:
    """Everything but the tables' structure and what was recorded is open to it."""
    url = url_of(server, "ledger_worker")

    async def scene(ledger: Ledger) -> Status:
        async with asyncio.timeout(SECONDS_MAX), Worker(ledger) as worker:
            return (await worker.outcome(ledger.start(counting, 1, key="1").saga_id)).status

    with Ledger.open(url, APP) as ledger:
        assert asyncio.run(scene(ledger)) is Status.COMPLETED
        ledger.projector().catch_up()
        assert [row["status"] for row in ledger.query("sagas").rows] == ["completed"]
        assert verify(ledger.backend).ok
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "UPDATE events SET topic = 'Other'",
            "DELETE FROM events",
            "TRUNCATE events",
            "DELETE FROM appends",
            "UPDATE definitions SET fingerprint = 'x'",
            "DELETE FROM head",
            "ALTER TABLE events DISABLE TRIGGER ALL",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_an_auditors_role_reads_and_cannot_write(server: str) -> None:
    """It verifies the ledger and queries its views."""
    with Ledger.open(url_of(server, "ledger_auditor"), APP) as ledger:
        assert verify(ledger.backend).ok
        assert ledger.query("sagas").rows == []
        with pytest.raises(PermanentlyUnavailable, match="permission denied"):
            ledger.start(counting, 1, key="1")
