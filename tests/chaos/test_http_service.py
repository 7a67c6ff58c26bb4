"""The example of steps that call out, over a real service in another process that fails, stalls and repeats itself."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from sagaledger import App, Ledger, RecordedEvent, SagaState, Worker
from sagaledger.domain.saga.events import StepFailed, StepStarted

from .app import EXAMPLE
from .evidence import Effect, read_effects
from .fleet import COMMAND, ROOT, courier

PATIENCE_SECONDS = 30.0
ANSWER_SECONDS_MAX = 0.3
LATE_SECONDS = 1.0
PARCEL = {"parcel_id": "P-1", "grams": 900}


class Service:
    """The courier, as the tests see it: what they demand of it, and what is in its books."""

    def __init__(self, address: str, db: Path) -> None:
        self.address = address
        self.db = db

    def demand(self, *misdeeds: str) -> None:
        """Make these go wrong with the next requests, in order."""
        connection = HTTPConnection(self.address, timeout=5)
        connection.request("POST", "/misbehave", json.dumps({"next": misdeeds}))
        assert connection.getresponse().status == 200
        connection.close()

    def effects(self) -> list[Effect]:
        """What it did, in order."""
        return read_effects(self.db)

    def requests(self) -> int:
        """How many requests it has dealt with."""
        connection = sqlite3.connect(self.db)
        [(requests,)] = connection.execute("SELECT coalesce(sum(requests), 0) FROM answers")
        connection.close()
        return int(requests)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with courier(tmp_path, misbehave=0.0, late_seconds=LATE_SECONDS, seed=0) as address:
        yield Service(address, tmp_path / "courier.sqlite")


@pytest.fixture
def app(service: Service, monkeypatch: pytest.MonkeyPatch) -> App:
    """The example, pointed at this test's service."""
    monkeypatch.setenv("COURIER_URL", service.address)
    monkeypatch.setenv("COURIER_ANSWER_SECONDS_MAX", str(ANSWER_SECONDS_MAX))
    app: App = runpy.run_path(str(EXAMPLE))["APP"]
    return app


@pytest.fixture
def ledger(app: App, sqlite_url: str) -> Iterator[Ledger]:
    with Ledger.open(sqlite_url, app) as ledger:
        yield ledger


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- what it waits for is in another process
            await asyncio.sleep(0.01)


def send(ledger: Ledger, value: dict[str, object]) -> SagaState:
    """One parcel, to its end."""

    async def scene() -> SagaState:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
            started = await worker.start("send_parcel", value)
            return await worker.outcome(started.saga_id)

    return asyncio.run(scene())


def attempts(history: list[RecordedEvent], step: str) -> list[StepStarted]:
    return [r.event for r in history if isinstance(r.event, StepStarted) and r.event.step == step]


@pytest.mark.parametrize("misdeed", ["fail_before", "fail_after", "stall", "late", "hang_up", "twice"])
def test_whatever_goes_wrong_there_is_one_effect(ledger: Ledger, service: Service, misdeed: str) -> None:
    """Every attempt carries the same key, so the parcel is insured and booked once, and the saga completes."""
    service.demand(misdeed, misdeed)

    state = send(ledger, PARCEL)

    if misdeed == "stall":
        asyncio.run(until(lambda: service.requests() == 4))  # the stalled ones come in late, after their retries
    tried = attempts(ledger.history(state.saga_id), "insure_parcel")
    assert state.status == "completed"
    assert len(tried) == (1 if misdeed == "twice" else 3)
    assert len({attempt.key for attempt in tried}) == 1
    assert [effect[1:] for effect in service.effects()] == [("PUT", "insurances", "P-1"), ("PUT", "bookings", "P-1")]


def test_a_refusal_is_not_tried_again_and_undoes_what_was_done(ledger: Ledger, service: Service) -> None:
    """Too heavy for the courier: the insurance ends, and nothing is booked."""
    state = send(ledger, {**PARCEL, "grams": 40_000})

    history = ledger.history(state.saga_id)
    [failed] = [r.event for r in history if isinstance(r.event, StepFailed)]
    assert state.status == "compensated"
    assert failed.error.message == "the courier carries up to 30 kg"
    assert [effect[1:3] for effect in service.effects()] == [("PUT", "insurances"), ("DELETE", "insurances")]


def test_what_was_done_without_a_word_is_undone(ledger: Ledger, service: Service) -> None:
    """The courier books at once and answers with an error every time: the saga gives up, and calls the booking off."""
    service.demand("none", *["fail_after"] * 10)

    state = send(ledger, PARCEL)

    assert state.status == "compensated"
    done = Counter(effect[1:3] for effect in service.effects())
    assert done == {(verb, kind): 1 for verb in ("PUT", "DELETE") for kind in ("insurances", "bookings")}


def test_a_request_that_comes_in_after_its_compensation_does_nothing(ledger: Ledger, service: Service) -> None:
    """The booking stalls, the saga is cancelled and undone; the stalled request comes too late to book anything."""

    async def scene() -> SagaState:
        async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger, project=False) as worker:
            saga_id = (await worker.start("send_parcel", PARCEL)).saga_id
            await until(lambda: len(attempts(ledger.history(saga_id), "book_courier")) == 1)
            ledger.cancel(saga_id, actor="ann", reason="changed her mind")
            state = await worker.outcome(saga_id)
            await until(lambda: service.requests() == 4)
            return state

    service.demand("none", "stall")

    state = asyncio.run(scene())

    assert state.status == "compensated"
    assert [effect[1:3] for effect in service.effects()] == [
        ("PUT", "insurances"),
        ("DELETE", "bookings"),
        ("DELETE", "insurances"),
    ]


def test_the_example_runs_from_the_command_line(service: Service, sqlite_url: str) -> None:
    """As its first lines say: the app is named by its file, a saga started, and worked to its end."""
    environment = {**os.environ, "COURIER_URL": service.address, "SAGALEDGER_DB": sqlite_url}
    environment["SAGALEDGER_APP"] = "examples/http_service/saga.py:APP"

    def run(*words: str) -> str:
        ran = subprocess.run(
            [str(COMMAND), *words, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return ran.stdout

    started = json.loads(run("start", "send_parcel", "--input", json.dumps(PARCEL)))
    run("worker", "--until-idle")

    shown = json.loads(run("state", started["saga_id"]))
    assert shown["status"] == "completed"
    assert [effect.kind for effect in service.effects()] == ["insurances", "bookings"]
