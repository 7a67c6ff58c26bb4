"""Traces: which spans a receiver gets of real sagas, and how they hang together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sagaledger import App, AsyncLedger, InvalidInput, Ledger, Retry, Saga, StepContext, StepRejected, Worker
from sagaledger.domain.shop import PARTICIPANTS, Order, OrderLine, ReceiveStock
from sagaledger.domain.shop.services import SERVICES, place
from sagaledger.infrastructure.choreography.nats.connection import stream_of
from sagaledger.infrastructure.choreography.nats.consumer import NatsConsumer
from sagaledger.infrastructure.choreography.nats.outbox_relay import OutboxRelay
from sagaledger.infrastructure.choreography.start import start_processes
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.telemetry.sampling import Sampling, sampling_of_environment
from sagaledger.infrastructure.telemetry.telemetry import Telemetry

from ..choreography.processes import Nats
from .conftest import play
from .receiver import Receiver

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CALLER_SPAN = CALLER.split("-")[1:3]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    """A NATS server."""
    server = Nats(tmp_path)
    server.start()
    yield server
    server.kill()


def a_trip(seen: dict[str, str | None], order: Any = lambda: None) -> tuple[Saga[str], Saga[str]]:
    """A saga with a retry, a sub-saga, a step that makes `order`, a refusal, and so a compensation."""
    trip: Saga[str] = Saga("trip", version=1, input=str, key=str)
    room: Saga[str] = Saga("room", version=1, input=str, key=str)

    @room.step(compensable=False)
    async def reserve(_: str, ctx: StepContext) -> None:
        seen["reserve"] = ctx.traceparent

    @trip.step(retry=Retry(attempts=3, backoff_seconds=0.001))
    async def flight(_: str, ctx: StepContext) -> None:
        seen[f"flight {ctx.attempt}"] = ctx.traceparent
        if ctx.attempt == 1:
            raise OSError("connection lost")

    @flight.compensation
    async def cancel_flight(_: str, _result: None, ctx: StepContext) -> None:
        seen["cancel_flight"] = ctx.traceparent

    @trip.sub_saga(room, compensable=False)
    def hotel(what: str, _ctx: StepContext) -> str:
        return what

    @trip.step(compensable=False)
    def shop(_: str, _ctx: StepContext) -> None:
        order()

    @trip.step(compensable=False)
    async def pay(_: str, _ctx: StepContext) -> None:
        raise StepRejected("no money")

    return trip, room


def test_a_whole_saga_is_one_trace(sqlite_url: str, nats: Nats, receiver: Receiver, telemetry: Telemetry) -> None:
    """Its attempts, retries and compensations, its sub-saga, and a service that it reached over a broker."""
    seen: dict[str, str | None] = {}
    noon = datetime(2010, 12, 1, 12, tzinfo=UTC)
    bought = Order("o1", noon, (OrderLine("sku1", 2, 500),), "c1", "France", payment_method="card")
    trip, _ = a_trip(seen, lambda: start_processes(ledger, [place(bought)], actor="trip"))
    app = App(sagas=[trip], participants=PARTICIPANTS, services=SERVICES)
    with Ledger.open(sqlite_url, app, observer=telemetry) as ledger:
        start_processes(ledger, [("delivery-sku1", ReceiveStock("sku1", 9))], actor="test")

        async def scene() -> None:
            stop = asyncio.Event()
            runners = OutboxRelay(ledger, nats.url), NatsConsumer(ledger, app.services["inventory"], nats.url)
            running = [asyncio.create_task(runner.run(stop)) for runner in runners]
            async with Worker(ledger, project=False) as worker:
                started = await worker.start(trip, "1", traceparent=CALLER)
                state = await worker.outcome(started.saga_id)
                assert str(state.status) == "compensated"
                while not _is_relayed(ledger, "InventoryReserved"):  # noqa: ASYNC110 -- the condition is in a database
                    await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*running)

        play(scene())
        [reserved] = ledger.backend.read(0, limit=1, topics=["InventoryReserved"])
    telemetry.close()

    tree = receiver.tree(CALLER_SPAN)
    assert tree.keys() == {"start trip"}
    below = tree["start trip"]
    assert below.pop("append") == {}
    sent = below["trip/shop"].pop("start processes").pop("send OrderCreated")
    assert sent == {"process OrderCreated": {"send InventoryReserved": {}}}
    assert below == {
        "trip/flight": {},
        "trip/flight #2": {},
        "trip/flight compensate": {},
        "trip/hotel": {"append": {}, "room/reserve": {}},
        "trip/shop": {},
        "trip/pay": {},
    }
    first, second = receiver.named("trip/flight")
    undone = receiver.one("trip/flight compensate")
    assert (first.failed, first.attributes["error.type"], second.failed) == (True, "OSError", False)
    assert receiver.one("trip/pay").attributes["error.type"] == "StepRejected"
    assert undone.links == (second.span_id,)
    kinds = {span.name: span.kind for span in receiver.spans}
    names = ("start trip", "trip/flight", "append", "send OrderCreated", "process OrderCreated")
    assert [kinds[name] for name in names] == ["producer", "consumer", "client", "producer", "consumer"]
    spans = {"flight 1": first, "flight 2": second, "cancel_flight": undone, "reserve": receiver.one("room/reserve")}
    assert seen == {name: f"00-{TRACE}-{span.span_id}-01" for name, span in spans.items()}
    assert {span.service for span in receiver.spans} == {"sagaledger"}
    assert receiver.one("process OrderCreated").span_id in reserved.meta


def test_without_telemetry_the_callers_context_is_passed_on(sqlite_url: str) -> None:
    """It is on record, and steps and sub-sagas find it, whoever started the saga."""
    seen: dict[str, str | None] = {}
    trip, _ = a_trip(seen)
    found: list[set[str | None]] = []
    with Ledger.open(sqlite_url, App(sagas=[trip])) as ledger:

        async def scene() -> None:
            async with Worker(ledger, project=False) as worker:
                ledger.start(trip, "1", traceparent=CALLER)
                await worker.outcome("trip-1")
                for value, context in (("2", CALLER), ("3", None)):
                    found.append(set(seen.values()))
                    await worker.outcome((await worker.start(trip, value, traceparent=context)).saga_id)
                found.append(set(seen.values()))

        play(scene())
        starts = [row.meta for row in ledger.backend.read(0, limit=1_000, topics=["SagaStarted"])]

    assert found == [{CALLER}, {CALLER}, {None}]
    assert [CALLER in meta for meta in starts] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    "context", ["", "00-0-0-01", CALLER[:-3], f"ff{CALLER[2:]}", f"00-{'0' * 32}-{'1' * 16}-01", 7]
)
def test_a_context_that_is_none_is_refused(sqlite_url: str, context: Any) -> None:
    """The caller sees how one looks."""
    trip, _ = a_trip({})
    with (
        Ledger.open(sqlite_url, App(sagas=[trip])) as ledger,
        pytest.raises(InvalidInput, match="is no W3C trace context: pass one like 00-"),
    ):
        ledger.start(trip, "1", traceparent=context)


def test_a_saga_without_a_caller_is_a_trace_of_its_own(
    sqlite_url: str, receiver: Receiver, telemetry: Telemetry
) -> None:
    """Also one that a program without telemetry started: the worker that takes it up sends its start."""
    trip, _ = a_trip({})
    with Ledger.open(sqlite_url, App(sagas=[trip])) as elsewhere:
        elsewhere.start(trip, "1")
    with Ledger.open(sqlite_url, App(sagas=[trip]), observer=telemetry) as ledger:
        ledger.start(trip, "2")
        play(_see_through(ledger, "trip-1", "trip-2"))
    telemetry.close()

    starts = receiver.named("start trip")
    assert [start.parent_id for start in starts] == ["", ""]
    assert len({start.trace_id for start in starts}) == 2
    for start in starts:
        assert {"trip/flight #2", "trip/flight compensate", "trip/hotel"} < receiver.tree(start.span_id).keys()


def _is_relayed(ledger: Ledger, topic: str) -> bool:
    """Whether the relay has sent the first event of a type."""
    rows = ledger.backend.read(0, limit=1, topics=[topic])
    relay = f"relay:{stream_of(ledger.context)}"
    return bool(rows) and ledger.backend.consumer_position(relay) >= rows[0].position


async def _see_through(ledger: Ledger, *saga_ids: str) -> None:
    async with Worker(ledger, project=False) as worker:
        for saga_id in saga_ids:
            await worker.outcome(saga_id)


@pytest.mark.parametrize("passed", [CALLER[:-2] + "00", None])
def test_what_is_not_sampled_has_no_spans(
    sqlite_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, passed: str | None
) -> None:
    """By its caller's decision, which steps pass on; or because the share of traces leaves it out."""
    seen: dict[str, str | None] = {}
    trip, _ = a_trip(seen)
    if passed is None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    telemetry = Telemetry()
    with Ledger.open(sqlite_url, App(sagas=[trip]), observer=telemetry) as ledger:
        ledger.start(trip, "1", traceparent=passed)
        play(_see_through(ledger, "trip-1"))
    telemetry.close()

    assert receiver.spans == []
    assert set(seen.values()) == {passed}


@pytest.mark.parametrize("sampler", [None, "always_off"])
def test_a_process_that_records_no_spans_passes_the_context_on(
    sqlite_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, sampler: str | None
) -> None:
    """Unchanged: a span of an attempt that is never sent would be a gap in the caller's trace."""
    seen: dict[str, str | None] = {}
    trip, _ = a_trip(seen)
    if sampler is None:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    else:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    with Telemetry() as telemetry, Ledger.open(sqlite_url, App(sagas=[trip]), observer=telemetry) as ledger:
        ledger.start(trip, "1", traceparent=CALLER)
        play(_see_through(ledger, "trip-1"))

    assert set(seen.values()) == {CALLER}
    assert receiver.spans == []


def test_the_share_of_traces_is_the_same_for_every_process(
    sqlite_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A saga's id decides, whoever starts it and whoever works it."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    trip, _ = a_trip({})
    inputs = [str(number) for number in range(16)]
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(Telemetry()) for _ in range(2))
        starting = stack.enter_context(Ledger.open(sqlite_url, App(sagas=[trip]), observer=first))
        working = stack.enter_context(Ledger.open(sqlite_url, App(sagas=[trip]), observer=second))
        for value in inputs:
            starting.start(trip, value)
        play(_see_through(working, *(f"trip-{value}" for value in inputs)))

    starts = {span.attributes["saga.id"]: span for span in receiver.named("start trip")}
    assert 0 < len(starts) < len(inputs)
    attempts = [span for span in receiver.spans if span.name.startswith("trip/")]
    assert {span.attributes["saga.id"] for span in attempts} == starts.keys()
    assert all(span.parent_id == starts[span.attributes["saga.id"]].span_id for span in attempts)


@pytest.mark.parametrize(
    ("name", "argument", "sampling"),
    [
        (None, None, Sampling(1.0, parent_based=True)),
        ("always_off", None, Sampling(0.0, parent_based=False)),
        ("parentbased_traceidratio", "0.25", Sampling(0.25, parent_based=True)),
        ("traceidratio", None, Sampling(1.0, parent_based=False)),
        ("often", None, "OTEL_TRACES_SAMPLER='often': use one of always_on, always_off, "),
        ("traceidratio", "2", "OTEL_TRACES_SAMPLER_ARG='2': use a number from 0 to 1"),
        ("traceidratio", "half", "OTEL_TRACES_SAMPLER_ARG='half': use a number from 0 to 1"),
        ("traceidratio", "nan", "OTEL_TRACES_SAMPLER_ARG='nan': use a number from 0 to 1"),
    ],
)
def test_the_standard_variables_name_the_sampler(
    monkeypatch: pytest.MonkeyPatch, name: str | None, argument: str | None, sampling: Sampling | str
) -> None:
    """What they cannot mean is refused."""
    for variable, given in (("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)):
        monkeypatch.delenv(variable, raising=False)
        if given is not None:
            monkeypatch.setenv(variable, given)

    if isinstance(sampling, Sampling):
        assert sampling_of_environment() == sampling
    else:
        with pytest.raises(InvalidInput, match=sampling):
            sampling_of_environment()


def test_an_attempt_long_after_the_start_begins_a_trace_that_links_back(
    sqlite_url: str, receiver: Receiver, telemetry: Telemetry
) -> None:
    """So no trace stays open for days."""
    trip, _ = a_trip({})
    app = App(sagas=[trip])
    now = datetime.now(UTC)
    clock = _Clock(now - timedelta(hours=2))
    with Ledger(open_backend(sqlite_url), app, observer=telemetry, clock=clock) as earlier:
        earlier.start(trip, "1", traceparent=CALLER)
    with Ledger.open(sqlite_url, app, observer=telemetry) as ledger:
        play(_see_through(ledger, "trip-1"))
    telemetry.close()

    start = receiver.one("start trip")
    attempt = receiver.named("trip/flight")[0]
    assert (start.trace_id, attempt.parent_id, attempt.links) == (TRACE, "", (start.span_id,))
    assert attempt.trace_id != TRACE


def test_a_step_links_to_the_decision_that_let_it_go_on(
    sqlite_url: str, receiver: Receiver, telemetry: Telemetry
) -> None:
    """An approval, an intervention and a cancellation have spans of their own, whose contexts are on record."""
    saga: Saga[str] = Saga("offer", version=1, input=str, key=str)
    broken = True
    saga.wait_for("approval")

    @saga.step(retry=Retry(attempts=1))
    async def send(_: str, ctx: StepContext) -> None:
        if broken and ctx.direction == "forward":
            raise OSError("no")

    @send.compensation(retry=Retry(attempts=1))
    async def recall(_: str, _result: None, _ctx: StepContext) -> None:
        if broken:
            raise OSError("no")

    with Ledger.open(sqlite_url, App(sagas=[saga]), observer=telemetry) as ledger:

        async def scene() -> None:
            nonlocal broken
            async with Worker(ledger, project=False) as worker:
                await worker.start(saga, "1")
                ledger.approve("offer-1", "approval", actor="ann", reason="fine")
                await worker.outcome("offer-1")
                broken = False
                ledger.intervene("offer-1", "retry", actor="bob", reason="again")
                while (await worker.outcome("offer-1")).end is None:  # noqa: ASYNC110 -- the worker learns of it later
                    await asyncio.sleep(0.01)
                await worker.start(saga, "2")
                ledger.cancel("offer-2", actor="eve", reason="no")
                await worker.outcome("offer-2")

        play(scene())
        metas = {row.topic: row.meta for row in ledger.backend.read(0, limit=1_000) if "actor" in row.meta}
    telemetry.close()

    approve, intervene, cancel = (receiver.one(name) for name in ("approve", "intervene", "cancel"))
    assert approve.span_id in receiver.named("offer/approval")[0].links
    assert intervene.span_id in receiver.named("offer/send compensate")[-1].links
    assert approve.span_id in metas["SignalReceived"]
    assert intervene.span_id in metas["InterventionResolved"]
    assert cancel.span_id in metas["CancelRequested"]


def test_another_worker_goes_on_with_the_trace(sqlite_url: str, receiver: Receiver, telemetry: Telemetry) -> None:
    """It takes the context, and the begin of what is open, from the log."""
    saga: Saga[str] = Saga("offer", version=1, input=str, key=str)
    saga.wait_for("approval")

    async def scene(ledger: Ledger) -> None:
        async with Worker(ledger, project=False) as worker:
            if not ledger.backend.stream("offer-1"):
                await worker.start(saga, "1", traceparent=CALLER)
                await worker.idle()
            else:
                ledger.approve("offer-1", "approval", actor="ann", reason="fine")
                await worker.outcome("offer-1")

    for _ in range(2):
        with Ledger.open(sqlite_url, App(sagas=[saga]), observer=telemetry) as ledger:
            play(scene(ledger))
    telemetry.close()

    start, waited = receiver.one("start offer"), receiver.one("offer/approval")
    assert (waited.trace_id, waited.parent_id) == (TRACE, start.span_id)
    assert waited.links == (receiver.one("approve").span_id,)
    assert waited.seconds > 0


def test_a_request_is_the_parent_of_what_it_starts(sqlite_url: str, receiver: Receiver, telemetry: Telemetry) -> None:
    """Its span is named for the route, which is known at its end; a malformed context of a client is ignored."""
    trip, _ = a_trip({})
    with Ledger.open(sqlite_url, App(sagas=[trip]), observer=telemetry) as ledger:
        for context in (CALLER, "nonsense"):
            with telemetry.request("POST", context) as request:
                ledger.start(trip, context)
                request.answered("/sagas", 201)
        with pytest.raises(ZeroDivisionError), telemetry.request("GET", None):
            raise ZeroDivisionError
    telemetry.close()

    first, second = receiver.named("POST /sagas")
    assert [(span.kind, span.parent_id, span.failed) for span in (first, second)] == [
        ("server", CALLER_SPAN, False),
        ("server", "", False),
    ]
    assert receiver.tree(first.span_id) == {"start trip": {"append": {}}}
    assert first.attributes["http.response.status_code"] == 201
    failed = receiver.one("GET unknown")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "ZeroDivisionError")


def test_an_asyncio_program_passes_its_current_span_on(
    sqlite_url: str, receiver: Receiver, telemetry: Telemetry
) -> None:
    """Although a thread of its own writes the start."""
    trip, _ = a_trip({})

    async def scene() -> None:
        async with AsyncLedger.open(sqlite_url, App(sagas=[trip]), observer=telemetry) as ledger:
            with telemetry.request("POST", CALLER) as request:
                await ledger.start(trip, "1")
                request.answered("/sagas", 201)

    play(scene())
    telemetry.close()

    assert receiver.tree(CALLER_SPAN) == {"POST /sagas": {"start trip": {"append": {}}}}


def test_a_view_has_a_span_for_each_batch(sqlite_url: str, receiver: Receiver, telemetry: Telemetry) -> None:
    """With how many events it folded."""
    trip, _ = a_trip({})
    with Ledger.open(sqlite_url, App(sagas=[trip]), observer=telemetry) as ledger:
        ledger.start(trip, "1")
        projector = ledger.projector()
        projector.catch_up()
        projector.stop()
    telemetry.close()

    folded = receiver.one("fold sagas")
    assert (folded.kind, folded.attributes["saga.events"]) == ("internal", 1)


class _Clock:
    """The system's clock, set back."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Return at once."""
