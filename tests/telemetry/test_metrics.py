"""Metrics: what a scrape shows of real runs."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sagaledger import App, InvalidInput, Ledger, Retry, Saga, Service, StepContext, StepRejected, Unavailable, Worker
from sagaledger.domain.saga.events import CancelRequested
from sagaledger.domain.shop import PARTICIPANTS, Order, OrderCreated, OrderLine
from sagaledger.domain.shop.choreographies import order_choreography
from sagaledger.domain.shop.services import order as order_service
from sagaledger.domain.shop.services import place
from sagaledger.infrastructure.choreography.in_process_bus import InProcessBus
from sagaledger.infrastructure.choreography.start import start_processes
from sagaledger.infrastructure.event_store.append_call import Append
from sagaledger.infrastructure.ledger.transact import call_of, transact
from sagaledger.infrastructure.telemetry.catalogue import METRICS, sample_names
from sagaledger.infrastructure.telemetry.ledger_gauges import CACHE_SECONDS, LedgerGauges
from sagaledger.infrastructure.telemetry.metrics_server import metrics_served
from sagaledger.infrastructure.telemetry.tallies import OTHER, SERIES_MAX, Tallies
from sagaledger.infrastructure.telemetry.telemetry import Telemetry

from .conftest import play

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def trip_saga() -> Saga[str]:
    """A saga with a list, which is compensated for the input `no`, and needs a person for the input `stuck`."""
    trip: Saga[str] = Saga("trip", version=1, input=str, key=str)

    @trip.for_each(items=lambda _what, _ctx: ["a", "b"], retry=Retry(attempts=1))
    async def book(_: str, _ctx: StepContext) -> None:
        """Book one of two things."""

    @book.compensation(retry=Retry(attempts=1))
    async def unbook(item: str, _result: None, ctx: StepContext) -> None:
        if (ctx.input, item) == ("stuck", "a"):
            raise OSError("no")

    @trip.step(compensable=False)
    async def pay(what: str, _ctx: StepContext) -> None:
        if what != "yes":
            raise StepRejected("no money")

    return trip


def broken_service() -> Service:
    """A service that fails at every order."""
    inventory = Service("inventory", retry=Retry(attempts=1))

    @inventory.reacts(order_choreography, OrderCreated)
    def reserve(_event: OrderCreated, _history: Any) -> Any:
        raise OSError("out of order")

    return inventory


def samples(text: bytes) -> Samples:
    """Every value of a scrape by its name and labels, as Prometheus parses it."""
    families = text_string_to_metric_families(text.decode())
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """One value of a scrape."""
    return found[f"sagaledger_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def ledger(url: str, telemetry: Telemetry) -> Iterator[Ledger]:
    """A ledger with sagas and services, on each backend."""
    app = App(sagas=[trip_saga()], participants=PARTICIPANTS, services=[order_service, broken_service()])
    with Ledger.open(url, app, create=True, observer=telemetry) as ledger:
        telemetry.watch(ledger)
        yield ledger


def test_a_scrape_has_every_metric(ledger: Ledger, telemetry: Telemetry) -> None:
    """Each is of what really happened; and no label is the id of a saga."""
    noon = datetime(2010, 12, 1, 12, tzinfo=UTC)
    bought = Order("o1", noon, (OrderLine("sku1", 2, 500),), "c1", "France", payment_method="card")
    start_processes(ledger, [place(bought)], actor="test")
    InProcessBus(ledger).run_once()
    _request_starts(ledger)

    async def scene() -> None:
        async with Worker(ledger, concurrency=7, project=False) as worker:
            telemetry.watch_worker(worker)
            for what in ("yes", "no", "stuck"):
                await worker.start("trip", what)
                await worker.outcome(f"trip-{what}")
            _conflict(ledger)
            await worker.idle()

    play(scene())
    ledger.start("trip", "due")
    projector = ledger.projector()
    projector.catch_up()
    projector.stop()
    with telemetry.request("GET", None) as request:
        request.answered("/sagas/{id}", 200)
    with telemetry.request("BREW", None) as request:
        request.answered("unknown", 405)
    telemetry.subscribed(+2)
    telemetry.verified(17, 0)
    telemetry.checkpoint_age(lambda: 60.0)

    found = samples(telemetry.metrics_text())

    assert value(found, "sagas_started_total", definition="trip") == (5 if ledger.backend.start_requests else 4)
    for status, count in (("completed", 1), ("compensated", 1)):
        ended = {"definition": "trip", "status": status}
        assert value(found, "sagas_ended_total", **ended) >= count
        assert value(found, "saga_duration_seconds_count", **ended) == value(found, "sagas_ended_total", **ended)
    assert value(found, "step_attempts_total", definition="trip", step="pay", direction="forward") >= 3
    undone = {"definition": "trip", "step": "book", "direction": "compensation"}
    assert value(found, "step_duration_seconds_count", outcome="failed", **undone) == 1
    assert value(found, "interventions_open", definition="trip", step="book") == 1
    assert 0 < value(found, "intervention_oldest_seconds", definition="trip", step="book") < 60
    assert value(found, "sagas_open", definition="trip", status="needs_intervention") == 1
    assert value(found, "due_overdue", definition="trip") == 1
    assert 0 <= value(found, "due_oldest_seconds", definition="trip") < 60
    assert (value(found, "worker_sagas"), value(found, "worker_slots")) == (0, 7)
    assert value(found, "workers", lease="held") == 0
    head = ledger.backend.head().position
    assert value(found, "log_head_position") == head
    assert (value(found, "view_lag_events", view="sagas"), value(found, "view_stopped", view="sagas")) == (0, 0)
    assert value(found, "dead_letters", service="inventory", status="parked") == 1
    assert value(found, "service_lag_events", service="order") > 0
    assert value(found, "http_request_seconds_count", route="/sagas/{id}", method="GET", status="200") == 1
    assert value(found, "http_request_seconds_count", route="unknown", method=OTHER, status="405") == 1
    assert value(found, "append_conflicts_total", kind="saga") == 1
    assert value(found, "gauges_unavailable") == 0

    wanted = {name for metric in METRICS for name in sample_names(metric)}
    if ledger.backend.start_requests is None:
        wanted -= {"sagaledger_requests_open", "sagaledger_requests_refused"}
    else:
        assert (value(found, "requests_open"), value(found, "requests_refused")) == (1, 1)
    created = {name for name, _ in found if name.endswith("_created")}
    assert {name for name, _ in found} - created == wanted
    assert not any("trip-" in label or "order-" in label for _, labels in found for _, label in labels)


def _request_starts(ledger: Ledger) -> None:
    """Ask for three sagas in a transaction of one's own, on PostgreSQL: one starts, one is refused, one stays open."""
    if ledger.backend.start_requests is None:
        return
    with psycopg.connect(ledger.backend.url) as connection:
        ledger.start_in(connection, "trip", "requested")
        ledger.start_in(connection, "trip", "asked")
        connection.execute("UPDATE requests SET definition_version = 2 WHERE saga_id = 'trip-asked'")
        ledger.start_in(connection, "trip", "refused")
        connection.execute("UPDATE requests SET fingerprint = 'another' WHERE saga_id = 'trip-refused'")


def _conflict(ledger: Ledger) -> None:
    """Write where another writer has written, as programs outside of the worker do now and then."""
    late = ledger.context.codec.encode("trip-yes", 1, CancelRequested(datetime.now(UTC), "ann", "late"))
    calls = [call_of([Append([late])]), None]
    transact(ledger.context, lambda _: calls.pop(0), what="a late event")


def test_the_database_is_asked_at_most_once_in_five_seconds(ledger: Ledger) -> None:
    """However often it is scraped."""
    now = [100.0]
    gauges = LedgerGauges(ledger.context, lambda: now[0])
    first = gauges.readings()
    ledger.start("trip", "1")

    now[0] += CACHE_SECONDS - 0.1
    assert gauges.readings() is first
    now[0] += 0.2
    assert gauges.readings() != first


def test_a_scrape_of_a_database_that_is_away_says_so(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters are there all the same, and the next look may find it."""
    telemetry = Telemetry()
    with Ledger.open(sqlite_url, App(sagas=[trip_saga()]), observer=telemetry) as ledger:
        telemetry.watch(ledger)
        ledger.start("trip", "1")

        def away(*_: object) -> Any:
            raise Unavailable("away")

        monkeypatch.setattr(ledger.backend, "head", away)
        found = samples(telemetry.metrics_text())

    assert value(found, "gauges_unavailable") == 1
    assert value(found, "sagas_started_total", definition="trip") == 1
    assert ("sagaledger_log_head_position", ()) not in found


def test_metrics_are_served_on_a_port_of_their_own() -> None:
    """A port that is taken is refused by a message that names it."""
    telemetry = Telemetry()
    with metrics_served(telemetry, "127.0.0.1", 0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.headers["content-type"].startswith("text/plain")
            assert value(samples(answer.read()), "sse_subscribers") == 0
        with (
            pytest.raises(InvalidInput, match=f"cannot be served on 127.0.0.1 port {port}: .*; choose another one"),
            metrics_served(telemetry, "127.0.0.1", port),
        ):
            pass
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


def test_the_number_of_series_has_a_limit() -> None:
    """What comes after it is counted together: definitions, steps and whatever else has labels."""
    tallies = Tallies()
    with tallies.lock:
        for number in range(SERIES_MAX + 5):
            tallies.count("append_conflicts", f"kind{number}")
            tallies.saga("trip").step(f"step{number}").forward += 1
            tallies.saga(f"saga{number}").started += 1
    families = {family.name: family.samples for family in tallies.collect()}

    assert len(families["sagaledger_append_conflicts"]) == SERIES_MAX + 1
    for name in ("append_conflicts", "sagas_started", "step_attempts"):
        found = families[f"sagaledger_{name}"]
        assert len(found) <= SERIES_MAX + 1
        assert sum(each.value for each in found) == SERIES_MAX + 5
        assert any(OTHER in each.labels.values() for each in found)


def test_an_error_in_counting_stops_no_worker(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once."""
    telemetry = Telemetry()
    monkeypatch.setattr(Tallies, "observe", lambda *_: 1 / 0)
    with Ledger.open(sqlite_url, App(sagas=[trip_saga()]), observer=telemetry) as ledger:

        async def scene() -> str:
            async with Worker(ledger, project=False) as worker:
                await worker.start("trip", "yes")
                return str((await worker.outcome("trip-yes")).status)

        assert play(scene()) == "completed"

    assert sum("could not be counted" in record.message for record in caplog.records) == 1


def test_a_saga_that_a_person_abandons_has_ended(sqlite_url: str) -> None:
    """Whoever writes its end counts it."""
    telemetry = Telemetry()
    with Ledger.open(sqlite_url, App(sagas=[trip_saga()]), observer=telemetry) as ledger:

        async def scene() -> None:
            async with Worker(ledger, project=False) as worker:
                await worker.start("trip", "stuck")
                await worker.outcome("trip-stuck")
                ledger.intervene("trip-stuck", "abandon", actor="ann", reason="lost", step="book[0]")

        play(scene())

    assert value(samples(telemetry.metrics_text()), "sagas_ended_total", definition="trip", status="abandoned") == 1
