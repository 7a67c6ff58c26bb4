"""Aggregates of the library in local steps and views: exactly once, beside the application that saves them, too."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import count
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import pytest
from eventsourcing.application import Application
from eventsourcing.cipher import AESCipher
from eventsourcing.domain import Aggregate, BaseAggregate, CanInitAggregate, CanMutateAggregate, MetaDomainEvent, event

from sagaledger import (
    AggregateParticipant,
    App,
    Command,
    DefinitionError,
    Ledger,
    Saga,
    StepContext,
    Worker,
    correlated_with,
    rehearse,
)
from sagaledger.infrastructure.cli.output.progress import progress
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.ledger import stream_cache
from sagaledger.infrastructure.ledger.verification import verify_ledger
from sagaledger.infrastructure.runtime import failpoints

from .stores import Dog

EXAMPLE = Path(__file__).parents[2] / "examples" / "eventsourcing_app"


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example, imported as a program imports it."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import transfers as found  # type: ignore[import-not-found] # noqa: PLC0415  # it is on the path from here on

    yield found
    found.bank = None


def environment_of(url: str, **more: str) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "sagaledger.infrastructure.eventsourcing.factory", "SAGALEDGER_DB": url, **more}


async def run(ledger: Ledger, saga: Saga[Any], *inputs: Any) -> list[str]:
    """Run sagas at once, and return how each ended."""
    async with asyncio.timeout(60), Worker(ledger) as worker:
        started = [await worker.start(saga, each) for each in inputs]
        return [str((await worker.outcome(each.saga_id)).status) for each in started]


def test_a_step_and_the_application_write_the_same_accounts(url: str, transfers: ModuleType) -> None:
    """Many transfers, while the application saves the same aggregates: no money is lost, and each ends once."""
    with (
        Ledger.open(url, transfers.app, create=True) as ledger,
        transfers.Bank(transfers.environment_of(url)) as transfers.bank,
    ):
        bank = transfers.bank
        for owner in ("ann", "ben"):
            bank.pay_in(owner, 1000)

        def pay_in() -> None:
            from eventsourcing.persistence import IntegrityError  # noqa: PLC0415  # as an application catches it

            paid = 0
            while paid < 10:
                try:
                    bank.pay_in("ann", 1)
                except IntegrityError:
                    continue
                paid += 1

        beside = Thread(target=pay_in)
        beside.start()
        inputs = [transfers.Transfer(str(n), "ann", "ben", 10) for n in range(12)]
        ended = asyncio.run(run(ledger, transfers.transfer, *inputs))
        beside.join()

        ann = bank.repository.get(transfers.Account.create_id("ann"))
        ben = bank.repository.get(transfers.Account.create_id("ben"))
        assert ended == ["completed"] * 12
        assert (ann.balance_minor, ben.balance_minor) == (1000 + 10 - 120, 1000 + 120)
        _assert_one_append(ledger, "transfer-3")
        ledger.projector().catch_up()
        rows = {row["owner"]: row["balance_minor"] for row in ledger.query("balances").rows}
        assert rows == {"ann": ann.balance_minor, "ben": ben.balance_minor}
        assert verify_ledger(ledger.context, expect=None, progress=progress).problems == []


def _assert_one_append(ledger: Ledger, saga_id: str) -> None:
    """The events of a step's aggregates stand between its start and its success, in one append."""
    rows = ledger.backend.correlated(saga_id)
    topics = [row.topic for row in rows]
    begin = topics.index("bank:Account.Withdrawn")
    assert topics[begin - 1 : begin + 3] == [
        "StepStarted", "bank:Account.Withdrawn", "bank:Account.Deposited", "StepSucceeded",
    ]  # fmt: skip
    (append,) = [
        each
        for each in ledger.backend.appends(0, limit=1000)
        if each.first_position <= rows[begin].position <= each.last_position
    ]
    assert append.last_position >= rows[begin + 2].position


@pytest.mark.parametrize("crossing", [4, 5, 8])
def test_a_worker_that_is_killed_moves_the_money_once(sqlite_url: str, transfers: ModuleType, crossing: int) -> None:
    """Before and after commits of its appends: another worker goes on, and the balances are those of one transfer."""
    given = transfers.Transfer("1", "ann", "ben", 10)
    with Ledger.open(sqlite_url, transfers.app, create=True) as ledger:
        with transfers.Bank(transfers.environment_of(sqlite_url)) as bank:
            bank.pay_in("ann", 100)
            bank.pay_in("ben", 100)
        ledger.start(transfers.transfer, given)

    pid = os.fork()
    if not pid:
        _work_until_killed(sqlite_url, transfers, given, crossing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    with (
        Ledger.open(sqlite_url, transfers.app) as ledger,
        transfers.Bank(transfers.environment_of(sqlite_url)) as transfers.bank,
    ):
        assert asyncio.run(run(ledger, transfers.transfer, given)) == ["completed"]
        balances = [
            transfers.bank.repository.get(transfers.Account.create_id(owner)).balance_minor for owner in ("ann", "ben")
        ]
        assert balances == [90, 110]
        topics = [row.topic for row in ledger.backend.correlated("transfer-1") if row.topic.startswith("bank:")]
        assert topics == ["bank:Account.Withdrawn", "bank:Account.Deposited", "bank:Letter.Sent"]


def _work_until_killed(url: str, transfers: ModuleType, given: Any, crossing: int) -> None:
    """Run the saga in this process, which kills itself at so many crossings of a commit."""
    try:
        with (
            Ledger.open(url, transfers.app) as ledger,
            transfers.Bank(transfers.environment_of(url)) as transfers.bank,
        ):
            crossings = count(1)

            def listen(name: str, _after: bool) -> None:
                if name == "sqlite COMMIT" and next(crossings) == crossing:
                    os.kill(os.getpid(), signal.SIGKILL)

            failpoints.set_listener(listen)
            asyncio.run(run(ledger, transfers.transfer, given))
    finally:
        os._exit(1)


def test_a_refusal_records_nothing(sqlite_url: str, transfers: ModuleType) -> None:
    """What the first of two aggregates did is not recorded if the second one refuses, and no later step sees it."""
    with (
        Ledger.open(sqlite_url, transfers.app, create=True) as ledger,
        transfers.Bank(transfers.environment_of(sqlite_url)) as transfers.bank,
    ):
        transfers.bank.pay_in("ann", 1000)
        transfers.bank.pay_in("ben", 1)
        inputs = transfers.Transfer("1", "ann", "zoe", 5), transfers.Transfer("2", "ann", "ben", 1000)
        assert asyncio.run(run(ledger, transfers.transfer, *inputs)) == ["compensated", "completed"]
        assert transfers.bank.repository.get(transfers.Account.create_id("ann")).balance_minor == 0
        assert not any(row.topic.startswith("bank:") for row in ledger.backend.correlated("transfer-1"))


def test_a_rehearsal_decides_on_aggregates(transfers: ModuleType) -> None:
    """Without a database: an account that was never opened refuses."""
    rehearsed = rehearse(
        transfers.transfer, transfers.Transfer("1", "ann", "ben", 5), participants=[transfers.accounts]
    )
    assert rehearsed.state.status == "compensated"
    assert "ann has no account" in str(rehearsed.saga_events)


def test_snapshots_of_the_application_stay_its_own(
    sqlite_url: str, transfers: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step folds events; it neither reads nor replaces a snapshot of the library, and `verify` leaves it alone."""
    monkeypatch.setattr(stream_cache, "SNAPSHOT_EVERY_EVENTS", 2)
    with (
        Ledger.open(sqlite_url, transfers.app, create=True) as ledger,
        transfers.Bank(transfers.environment_of(sqlite_url)) as transfers.bank,
        caplog.at_level(logging.WARNING),
    ):
        bank, id_ = transfers.bank, transfers.Account.create_id("ann")
        bank.pay_in("ann", 1000)
        bank.pay_in("ben", 1000)
        bank.take_snapshot(id_)
        inputs = [transfers.Transfer(str(n), "ann", "ben", 1) for n in range(5)]
        assert asyncio.run(run(ledger, transfers.transfer, *inputs)) == ["completed"] * 5

        (snapshot,) = ledger.backend.snapshots([str(id_)])
        assert (snapshot.version, snapshot.schema) == (2, "eventsourcing.domain:Snapshot")
        assert bank.repository.get(id_).balance_minor == 995
        assert verify_ledger(ledger.context, expect=None, progress=progress).problems == []
        head = ledger.backend.head()
        bank.take_snapshot(id_)
        assert ledger.backend.head() == head, "a snapshot is no part of the log"
    assert caplog.messages == []


class Teach(Command):
    dog: UUID
    trick: str


def teach(dog: Dog | None, command: Teach) -> Dog:
    """Teach a dog, or another dog than the command names if there is none."""
    dog = dog or Dog("Rex")
    dog.add_trick(command.trick)
    return dog


school = Saga("school", version=1, input=dict, key=lambda lesson: lesson["trick"])


@school.local_step(compensable=False)
def lesson(given: dict[str, Any], _: StepContext) -> list[Command]:
    return [Teach(UUID(given["dog"]), given["trick"]), Teach(UUID(given["dog"]), "bow")]


def test_encrypted_events_are_read_and_written_with_the_application_s_mapper(sqlite_url: str) -> None:
    """The step writes what the application reads; nothing in the log is plain."""
    environment = environment_of(
        sqlite_url,
        COMPRESSOR_TOPIC="zlib",
        CIPHER_TOPIC="eventsourcing.cipher:AESCipher",
        CIPHER_KEY=AESCipher.create_key(16),
    )
    open_backend(sqlite_url, create=True).close()
    with Application(environment) as application:
        dogs = AggregateParticipant(Dog, commands={Teach: lambda c: c.dog}, decide=teach, mapper=application.mapper)
        application.save(dog := Dog("Fido"))
        with Ledger.open(sqlite_url, App(sagas=[school], participants=[dogs]), create=True) as ledger:
            assert asyncio.run(run(ledger, school, {"dog": str(dog.id), "trick": "roll"})) == ["completed"]
            states = [row.state for row in ledger.backend.stream(str(dog.id))]
        found = application.repository.get(dog.id)

    assert found.tricks == ["roll", "bow"]
    assert len(states) == 3
    assert not any(b"roll" in state or b"Fido" in state for state in states)


def test_what_is_saved_for_a_saga_carries_its_id(sqlite_url: str) -> None:
    """Inside the block and nowhere else; a worker does so for its steps."""
    with closing(open_backend(sqlite_url, create=True)) as log:
        with Application(environment_of(sqlite_url)) as application:
            with correlated_with("school-1"):
                application.save(dog := Dog("Fido"))
            application.save(Dog("Rex"))
        assert [(row.stream_id, row.correlation_id) for row in log.correlated("school-1")] == [
            (str(dog.id), "school-1")
        ]


class Sign(Aggregate):
    @event("Painted")
    def __init__(self, text: str) -> None:
        self.text = text

    @staticmethod
    def create_id(text: str) -> UUID:
        return uuid5(NAMESPACE_URL, text)


def test_what_cannot_work_is_refused() -> None:
    """Each with the remedy."""
    with pytest.raises(DefinitionError, match="`commands` and `decide` together"):
        AggregateParticipant(Dog, commands={Teach: lambda c: c.dog})
    with pytest.raises(DefinitionError, match=r"Sign.Painted is no event of the aggregates"):
        AggregateParticipant(Dog).event_type(Sign.Painted)
    main = type("Painted", (Sign.Painted,), {"__module__": "__main__", "__qualname__": "Painted"})
    with pytest.raises(DefinitionError, match=r"__main__:Painted would be the stored name .* give it a TOPIC"):
        AggregateParticipant(topics={"__main__:Painted": main})
    with pytest.raises(DefinitionError, match="two parts of the app write streams 'uuid'"):
        App(participants=[AggregateParticipant(Dog), AggregateParticipant(Sign)])


def test_an_aggregate_with_another_id_is_refused() -> None:
    """A new aggregate must have the id that its command names."""
    dogs = AggregateParticipant(Dog, commands={Teach: lambda c: c.dog}, decide=teach)
    rehearsed = rehearse(school, {"dog": str(uuid4()), "trick": "roll"}, participants=[dogs])
    assert "make it with this id (create_id)" in str(rehearsed.saga_events)


class TextAggregate(BaseAggregate[str]):
    """An aggregate whose id is a text, as the library lets one define it."""

    class Event(CanMutateAggregate[str], metaclass=MetaDomainEvent):
        originator_id: str
        originator_version: int
        timestamp: datetime

    class Created(Event, CanInitAggregate[str]):
        originator_topic: str


class Purse(TextAggregate):
    @event("Made")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.coins = 0

    @staticmethod
    def create_id(owner: str) -> str:
        return f"purse-{owner}"

    @event("Filled")
    def fill(self, coins: int) -> None:
        self.coins += coins


class Fill(Command):
    owner: str
    coins: int


def fill(purse: Purse | None, command: Fill) -> Purse:
    purse = purse or Purse(command.owner)
    purse.fill(command.coins)
    return purse


pay_day = Saga("pay_day", version=1, input=dict, key=lambda day: day["day"])


@pay_day.local_step(compensable=False)
def fill_purse(day: dict[str, Any], _: StepContext) -> list[Command]:
    return [Fill("ann", day["coins"])]


def test_aggregates_with_text_ids_have_a_category(sqlite_url: str) -> None:
    """A step makes the aggregate and goes on with it; so does the application."""
    purses = AggregateParticipant(Purse, category="purse", commands={Fill: lambda c: c.owner}, decide=fill)
    with Ledger.open(sqlite_url, App(sagas=[pay_day], participants=[purses]), create=True) as ledger:
        days = [{"day": str(day), "coins": 5} for day in range(3)]
        assert asyncio.run(run(ledger, pay_day, *days)) == ["completed"] * 3
        with Application[str](environment_of(sqlite_url, ORIGINATOR_ID_TYPE="text")) as application:
            purse: Purse = application.repository.get("purse-ann")
            assert (purse.version, purse.coins) == (4, 15)
            purse.fill(1)
            application.save(purse)
        assert asyncio.run(run(ledger, pay_day, {"day": "4", "coins": 4})) == ["completed"]
        assert [row.version for row in ledger.backend.stream("purse-ann")] == [1, 2, 3, 4, 5, 6]
