"""The audit can find fault: each check stays silent on a sound ledger, and speaks when one thing in it is wrong."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from sagaledger import App, Ledger, RecordedEvent, Worker
from sagaledger.domain.saga.events import SagaCompleted, StepStarted, StepSucceeded
from sagaledger.domain.shop import (
    PARTICIPANTS,
    SAGAS,
    InventoryReserved,
    OrderCompleted,
    PaymentSucceeded,
)
from sagaledger.projections.shop import SHOP_PROJECTIONS

from . import audit
from .app import EXAMPLE
from .client import Acknowledgement, Client
from .conservation import money_is_conserved, parcels_packed_are_orders_completed, stock_is_conserved
from .effects import keys_and_effects_match, what_was_undone_is_undone
from .evidence import Effect, Evidence, read_effects, read_events
from .fleet import Ended, courier
from .orders import Wish, opening_stock, wishes
from .schedule import Settings

PATIENCE_SECONDS = 60.0
SETTINGS = Settings(sagas=24, decline_rate="0.2", seed=3)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """What an undisturbed campaign leaves behind."""
    folder = tmp_path_factory.mktemp("audit")
    url = f"sqlite:///{folder / 'ledger.db'}"
    wanted = wishes(SETTINGS)
    with courier(folder, misbehave=0.0, late_seconds=1.0, seed=0) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURIER_URL", address)
        parcels = runpy.run_path(str(EXAMPLE))["send_parcel"]
        app = App(sagas=[*SAGAS, parcels], participants=PARTICIPANTS, projections=SHOP_PROJECTIONS)
        client = Client(url)
        client.stock(opening_stock(wanted))
        client.start(wanted)
        client.close()
        with Ledger.open(url, app) as ledger:
            asyncio.run(_work(ledger, wanted))
            events = list(read_events(ledger))
            effects = read_effects(folder / "courier.sqlite")
            yield Evidence(client.acknowledged, [], events, effects, {}, ledger)


async def _work(ledger: Ledger, wanted: list[Wish]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), Worker(ledger) as worker:
        await worker.idle()
    projector = ledger.projector()
    projector.catch_up()
    projector.stop()
    assert len(wanted) == SETTINGS.sagas


@pytest.mark.parametrize("promise", audit.CHECKS)
def test_a_sound_ledger_is_found_sound(evidence: Evidence, promise: str) -> None:
    assert list(audit.CHECKS[promise](evidence)) == []


def of_a_completed_saga(evidence: Evidence) -> Effect:
    """An effect that nobody undid."""
    completed = {recorded.stream_id for recorded in evidence.events if isinstance(recorded.event, SagaCompleted)}
    return next(effect for effect in evidence.effects if f"send_parcel-{effect.reference}" in completed)


def first(evidence: Evidence, kind: type, process: str = "") -> int:
    """Where the first event of a kind stands among the events."""
    return next(
        index
        for index, recorded in enumerate(evidence.events)
        if isinstance(recorded.event, kind) and recorded.correlation_id.startswith(process)
    )


def without(evidence: Evidence, kind: type, process: str = "") -> Evidence:
    """The same, with one event never written."""
    index = first(evidence, kind, process)
    return evidence._replace(events=evidence.events[:index] + evidence.events[index + 1 :])


def twice(evidence: Evidence, kind: type, process: str = "") -> Evidence:
    """The same, with one event written again at the end."""
    return evidence._replace(events=[*evidence.events, evidence.events[first(evidence, kind, process)]])


def changed(evidence: Evidence, kind: type, process: str = "", **fields: Any) -> Evidence:
    """The same, with other values in one event."""
    index = first(evidence, kind, process)
    events: list[RecordedEvent] = list(evidence.events)
    events[index] = replace(events[index], event=replace(events[index].event, **fields))
    return evidence._replace(events=events)


FAULTS: dict[str, tuple[Callable[[Evidence], Any], Callable[[Evidence], Evidence]]] = {
    "an acknowledged saga that is not there": (
        audit.every_acknowledgement_is_in_the_log,
        lambda e: e._replace(acknowledged=[*e.acknowledged, Acknowledgement("fulfil_order-lost", 7)]),
    ),
    "an acknowledgement beyond the log": (
        audit.every_acknowledgement_is_in_the_log,
        lambda e: e._replace(acknowledged=[Acknowledgement(e.acknowledged[0].saga_id, len(e.events) + 1)]),
    ),
    "a gap": (audit.positions_are_contiguous, lambda e: without(e, PaymentSucceeded)),
    "a saga without an end": (audit.every_saga_rests, lambda e: without(e, SagaCompleted)),
    "a saga that ended twice": (audit.every_saga_has_one_outcome, lambda e: twice(e, SagaCompleted)),
    "a completed saga of an order that is not": (
        audit.every_saga_has_one_outcome,
        lambda e: without(e, OrderCompleted),
    ),
    "a step that succeeded twice": (audit.no_step_counts_twice, lambda e: twice(e, StepSucceeded)),
    "a step with two keys": (
        audit.no_step_counts_twice,
        lambda e: changed(twice(e, StepStarted), StepStarted, key="another"),
    ),
    "an effect under two keys": (
        keys_and_effects_match,
        lambda e: e._replace(effects=[*e.effects, e.effects[0]._replace(key="another")]),
    ),
    "a key with two effects": (
        keys_and_effects_match,
        lambda e: e._replace(effects=[*e.effects, e.effects[0]]),
    ),
    "a success that never happened": (
        keys_and_effects_match,
        lambda e: e._replace(effects=e.effects[1:]),
    ),
    "an effect that nobody asked for": (
        keys_and_effects_match,
        lambda e: without(e, StepStarted, "send_parcel"),
    ),
    "a completed saga whose effect was undone": (
        what_was_undone_is_undone,
        lambda e: e._replace(effects=[*e.effects, of_a_completed_saga(e)._replace(key="undo", method="DELETE")]),
    ),
    "money that vanished": (money_is_conserved, lambda e: changed(e, PaymentSucceeded, amount_minor=1)),
    "an order sold twice for one payment": (money_is_conserved, lambda e: twice(e, OrderCompleted)),
    "pieces that were never there": (
        stock_is_conserved,
        lambda e: changed(e, InventoryReserved, quantity=10**8),
    ),
    "a parcel packed for nobody": (parcels_packed_are_orders_completed, lambda e: without(e, OrderCompleted)),
    "an event by a worker whose lease had ended": (
        audit.no_superseded_worker_wrote,
        lambda e: e._replace(lease_ends={(e.events[-1].meta.worker, e.events[-1].meta.epoch): len(e.events) - 1}),
    ),
    "a worker that ended by itself": (
        audit.no_worker_ended_by_itself,
        lambda e: e._replace(ended=[Ended(0, 1, "Traceback")]),
    ),
    "events that verify did not see": (audit.the_ledger_verifies, lambda e: without(e, PaymentSucceeded)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_found(evidence: Evidence, fault: str) -> None:
    check, spoil = FAULTS[fault]

    assert list(check(spoil(evidence))) != []
