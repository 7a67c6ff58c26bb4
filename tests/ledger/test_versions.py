"""Versions of definitions: old sagas finish on theirs, and a version never changes its structure."""

from __future__ import annotations

import psycopg
import pytest

from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.infrastructure.errors import DefinitionChanged
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.definition_usage import VersionStatus, count_sagas
from sagaledger.infrastructure.ledger.ledger import Ledger

from ..worker.conftest import play, worker_on


def _greeting(version: int, *steps: str) -> Saga[str]:
    """A saga whose structure is its steps, and whose result says which version ran."""
    saga = Saga("greeting", version=version, input=str)
    for name in steps:

        async def greet(_: str, __: StepContext) -> str:
            return f"from version {version}"

        greet.__name__ = name
        saga.step(compensable=False)(greet)
    return saga


def _end_of(ledger: Ledger, saga_id: str) -> bytes:
    """Work until this saga is over; gives its result."""

    async def scene() -> bytes:
        async with worker_on(ledger) as worker:
            return bytes((await worker.outcome(saga_id)).result or b"")

    return play(scene())


def test_old_sagas_finish_on_the_version_that_they_started_with(url: str) -> None:
    """The new version is registered beside the old one; each saga runs its own."""
    old, new = _greeting(1, "say_hello"), _greeting(2, "bow", "say_hello")
    with Ledger.open(url, App(sagas=[old]), create=True) as ledger:
        before = ledger.start("greeting", "Ann", key="before").saga_id

    with Ledger.open(url, App(sagas=[old, new])) as ledger:
        after = ledger.start("greeting", "Ann", key="after").saga_id

        assert _end_of(ledger, before) == b'"from version 1"'
        assert _end_of(ledger, after) == b'"from version 2"'


def test_a_worker_never_takes_what_it_cannot_run(url: str) -> None:
    """A saga of a version that is not registered waits, untouched, for a worker that knows it."""
    old, new = _greeting(1, "say_hello"), _greeting(2, "bow", "say_hello")
    with Ledger.open(url, App(sagas=[old]), create=True) as ledger:
        waiting = ledger.start("greeting", "Ann", key="waiting").saga_id

    with Ledger.open(url, App(sagas=[new])) as ledger:
        ended = ledger.start("greeting", "Ann", key="ended").saga_id
        _end_of(ledger, ended)

        assert [(due.saga_id, due.worker_id) for due in ledger.backend.entries()] == [(waiting, None)]

    with Ledger.open(url, App(sagas=[old])) as ledger:
        assert _end_of(ledger, waiting) == b'"from version 1"'


def test_a_changed_definition_is_refused_when_a_worker_begins_and_when_a_saga_starts(url: str) -> None:
    """The message has both fingerprints, and the remedy; nothing was started."""
    first, changed = _greeting(1, "say_hello"), _greeting(1, "bow", "say_hello")
    with Ledger.open(url, App(sagas=[first]), create=True) as ledger:
        ledger.start("greeting", "Ann", key="1")

    with Ledger.open(url, App(sagas=[changed])) as ledger:

        async def scene() -> None:
            async with worker_on(ledger):
                """It does not come so far."""

        with pytest.raises(DefinitionChanged) as at_work:
            play(scene())
        with pytest.raises(DefinitionChanged) as at_start:
            ledger.start("greeting", "Bob", key="2")
        assert ledger.backend.stream("greeting-2") == []

    for error in (at_work.value, at_start.value):
        assert (error.recorded, error.registered) == (first.definition.fingerprint, changed.definition.fingerprint)
        assert error.recorded in str(error)
        assert error.registered in str(error)
        assert "new version" in str(error)


def test_a_definition_may_change_until_its_first_saga_starts(url: str) -> None:
    """Whoever still writes a saga is not told to count its versions."""

    async def begin_and_end(ledger: Ledger) -> None:
        async with worker_on(ledger) as worker:
            await worker.idle()

    for steps in (["say_hello"], ["bow", "say_hello"]):
        with Ledger.open(url, App(sagas=[_greeting(1, *steps)]), create=True) as ledger:
            play(begin_and_end(ledger))
            assert ledger.backend.fingerprints() == {}


def test_of_two_who_start_the_first_saga_with_different_structures_one_is_refused(url: str) -> None:
    """Whichever came first is on record; a worker that began before that is refused, too, when it starts one."""
    first, changed = _greeting(1, "say_hello"), _greeting(1, "bow", "say_hello")
    with Ledger.open(url, App(sagas=[changed]), create=True) as ledger, Ledger.open(url, App(sagas=[first])) as other:

        async def scene() -> None:
            async with worker_on(ledger) as worker:
                other.start("greeting", "Ann", key="1")
                await worker.start("greeting", "Bob", key="2")

        with pytest.raises(DefinitionChanged):
            play(scene())


def _approval(signal: str) -> Saga[str]:
    """A saga that waits for a signal, whose name the first fingerprints did not cover."""
    saga = Saga("approval", input=str)
    saga.wait_for("word", signal=signal)
    return saga


def test_a_fingerprint_of_the_first_scheme_is_still_the_definitions(url: str) -> None:
    """What version 0.1.0 recorded stays; what is recorded from now on covers more."""
    saga = _approval("approved")
    [first] = saga.definition.fingerprints - {saga.definition.fingerprint}
    with Ledger.open(url, App(sagas=[saga]), create=True) as ledger:
        assert ledger.backend.record_fingerprint("approval", 1, first) == first
        ledger.start(saga, "Ann", key="1")
        usage = count_sagas(ledger.context).versions
        assert [version.status for version in usage] == [VersionStatus.REGISTERED]


def test_a_signal_cannot_be_renamed_under_the_same_version(url: str) -> None:
    """Sagas that run wait for the old name."""
    with Ledger.open(url, App(sagas=[_approval("approved")]), create=True) as ledger:
        ledger.start("approval", "Ann", key="1")

    with Ledger.open(url, App(sagas=[_approval("signed")])) as ledger, pytest.raises(DefinitionChanged):
        ledger.start("approval", "Ann", key="2")


def test_a_changed_definition_is_refused_in_a_transaction_of_the_callers(postgres_url: str) -> None:
    """Before the request is written: no worker could fulfil it."""
    with Ledger.open(postgres_url, App(sagas=[_approval("approved")]), create=True) as ledger:
        ledger.start("approval", "Ann", key="1")

    with Ledger.open(postgres_url, App(sagas=[_approval("signed")])) as ledger, psycopg.connect(postgres_url) as own:
        with pytest.raises(DefinitionChanged):
            ledger.start_in(own, "approval", "Ann", key="2")
        assert own.execute("SELECT count(*) FROM requests").fetchone() == (0,)
