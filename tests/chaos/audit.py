"""What must hold after any campaign; each check gives the violations that it finds.

A violation is a sentence that names the thing. No check trusts another one, nor the code that wrote what it reads:
sums are taken over the views and, on their own, over the events.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from sagaledger import Direction, Ledger, Recorded
from sagaledger.domain.commerce import (
    InventoryReleased,
    InventoryReserved,
    ItemsRestocked,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    PaymentRefunded,
    PaymentSucceeded,
    ReturnCompleted,
    ShipmentCancelled,
    ShipmentPrepared,
    StockReceived,
)
from sagaledger.domain.facts import (
    CompensationStarted,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepCompensated,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.state import Status, rebuild

from .app import APP
from .client import Acknowledgement
from .fleet import APP as APP_NAME
from .fleet import COMMAND, ROOT, Ended

READ_EVENTS = 5_000
SHOWN_MAX = 5
"""How many violations of one kind are spelled out."""


class Finding(NamedTuple):
    """What one check found."""

    promise: str
    violations: list[str]


class Effect(NamedTuple):
    """Something that the called service did."""

    key: str
    method: str
    kind: str
    reference: str


class Evidence(NamedTuple):
    """What a campaign leaves behind."""

    acknowledged: list[Acknowledgement]
    ended: list[Ended]
    """Workers that ended by themselves."""
    events: list[Recorded]
    effects: list[Effect]
    """What the called service did, in order."""
    lease_ends: dict[tuple[str | None, int | None], int]
    """The position at which the log ended when a worker's lease did, by worker and epoch."""
    ledger: Ledger


def audit(url: str, courier_db: Path, acknowledged: list[Acknowledgement], ended: list[Ended]) -> list[Finding]:
    """Make every check. The ledger must be at rest."""
    with Ledger.open(url, APP) as ledger:
        projector = ledger.projector()
        projector.catch_up()
        projector.stop()
        evidence = Evidence(
            acknowledged, ended, list(read_events(ledger)), read_effects(courier_db), read_lease_ends(url), ledger
        )
        return [Finding(promise, list(check(evidence))) for promise, check in CHECKS.items()]


def every_acknowledgement_is_in_the_log(evidence: Evidence) -> Iterator[str]:
    """G1: the client's ledger is a part of the log."""
    for saga_id, position in evidence.acknowledged:
        if position > len(evidence.events) or evidence.events[position - 1].correlation_id != saga_id:
            yield f"{saga_id} was acknowledged at position {position}, and is not there"


def positions_are_contiguous(evidence: Evidence) -> Iterator[str]:
    """G3: position n is the n-th event."""
    for expected, recorded in enumerate(evidence.events, start=1):
        if recorded.position != expected:
            yield f"position {expected} is missing: {recorded.position} comes next"
            return


def every_saga_rests(evidence: Evidence) -> Iterator[str]:
    """G7: ended, or parked for a person; and no due work is left over."""
    for saga_id, facts in _sagas(evidence).items():
        state = rebuild(saga_id, (recorded.event for recorded in facts))
        if state.end is None and state.status is not Status.NEEDS_INTERVENTION:
            yield f"{saga_id} is still {state.status}"
    yield from (f"{change.saga_id} is still due" for change in evidence.ledger.backend.due())


def every_saga_has_one_outcome(evidence: Evidence) -> Iterator[str]:
    """One end for each saga, and for its order the one that fits."""
    ends = Counter(r.stream_id for r in evidence.events if isinstance(r.event, SagaCompleted | SagaCompensated))
    yield from (f"{saga_id} ended {times} times" for saga_id, times in ends.items() if times > 1)
    fitting = {SagaCompleted: (OrderCompleted, ReturnCompleted), SagaCompensated: (OrderCancelled,)}
    outcomes: defaultdict[str, list[type]] = defaultdict(list)
    for recorded in evidence.events:
        if isinstance(recorded.event, OrderCompleted | OrderCancelled | ReturnCompleted):
            outcomes[recorded.correlation_id].append(type(recorded.event))
    for recorded in evidence.events:
        if type(recorded.event) in fitting and not recorded.stream_id.startswith("send_parcel-"):
            found = outcomes[recorded.stream_id]
            if len(found) != 1 or found[0] not in fitting[type(recorded.event)]:
                yield f"{recorded.stream_id}: {type(recorded.event).__name__}, and its order {found}"


def no_step_counts_twice(evidence: Evidence) -> Iterator[str]:
    """A step succeeds once, is undone once, and keeps its key at every attempt (G5)."""
    done: Counter[tuple[str, str, str]] = Counter()
    keys: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for recorded in evidence.events:
        match recorded.event:
            case StepSucceeded(step=step):
                done[recorded.stream_id, step, Direction.FORWARD] += 1
            case StepCompensated(step=step):
                done[recorded.stream_id, step, Direction.COMPENSATION] += 1
            case StepStarted(step=step, key=key):
                keys[recorded.stream_id, step, Direction.FORWARD].add(key)
            case CompensationStarted(step=step, key=key):
                keys[recorded.stream_id, step, Direction.COMPENSATION].add(key)
    yield from (f"{' '.join(step)} succeeded {times} times" for step, times in done.items() if times > 1)
    yield from (f"{' '.join(step)} had the keys {sorted(used)}" for step, used in keys.items() if len(used) > 1)


def keys_and_effects_match(evidence: Evidence) -> Iterator[str]:
    """One effect for each key in the called service, and for each step that succeeded; none that the log lacks."""
    asked: dict[str, str] = {}
    latest: dict[tuple[str, str, Direction], str] = {}
    claimed: set[str] = set()
    for recorded in evidence.events:
        saga_id, event = recorded.stream_id, recorded.event
        if not saga_id.startswith("send_parcel-"):
            continue
        match event:
            case StepStarted(step=step, key=key):
                asked[key] = f"{saga_id} {step}"
                latest[saga_id, step, Direction.FORWARD] = key
            case CompensationStarted(step=step, key=key):
                asked[key] = f"{saga_id} {step} (undoing)"
                latest[saga_id, step, Direction.COMPENSATION] = key
            case StepSucceeded(step=step):
                claimed.add(latest.get((saga_id, step, Direction.FORWARD), f"of {saga_id} {step}, never started"))
            case StepCompensated(step=step):
                claimed.add(latest.get((saga_id, step, Direction.COMPENSATION), f"of {saga_id} {step}, never undone"))
    times = Counter(effect.key for effect in evidence.effects)
    yield from (f"key {key} had {n} effects" for key, n in times.items() if n > 1)
    same = Counter(effect[1:] for effect in evidence.effects)
    yield from (f"{' '.join(effect)} was done {n} times" for effect, n in same.items() if n > 1)
    yield from (f"effect {key} was never asked for in the log" for key in times if key not in asked)
    yield from (f"{asked.get(key, key)} is on record, and never happened" for key in claimed if key not in times)


def what_was_undone_is_undone(evidence: Evidence) -> Iterator[str]:
    """Of a parcel whose saga turned back, nothing stands in the called service any more; of the others, everything."""
    standing: defaultdict[str, set[str]] = defaultdict(set)
    for _, method, kind, reference in evidence.effects:
        (standing[reference].add if method == "PUT" else standing[reference].discard)(kind)
    for recorded in evidence.events:
        parcel = recorded.stream_id.removeprefix("send_parcel-")
        if parcel == recorded.stream_id:
            continue
        wanted = {SagaCompleted: {"insurances", "bookings"}, SagaCompensated: set()}.get(type(recorded.event))
        if wanted is not None and standing[parcel] != wanted:
            yield f"{recorded.stream_id}: {type(recorded.event).__name__}, and {standing[parcel] or 'nothing'} stands"


def money_is_conserved(evidence: Evidence) -> Iterator[str]:
    """Captured less refunded is what completed orders cost less what returns gave back: by views and by events."""
    query = evidence.ledger.queries
    with query.snapshot(query.projection("payments")) as (connection, _):
        payments = query.projection("payments").table
        orders = query.projection("orders").table
        rows = connection.execute(payments.select()).mappings().all()
        completed = connection.execute(orders.select().where(orders.c.status == "completed")).mappings().all()
    net_view = sum(row["captured_minor"] - row["refunded_minor"] for row in rows)
    sold_view = sum(row["total_minor"] for row in completed)
    totals: dict[str, int] = {}
    net = sold = returned = 0
    for recorded in evidence.events:
        match recorded.event:
            case OrderCreated(order_id=order_id, total_minor=total):
                totals[order_id] = total
            case PaymentSucceeded(amount_minor=amount):
                net += amount
            case PaymentRefunded(amount_minor=amount):
                net -= amount
                returned += amount if recorded.correlation_id.startswith("return_goods-") else 0
            case OrderCompleted(order_id=order_id):
                sold += totals[order_id]
    if net != sold - returned:
        yield f"events: captured less refunded is {net}, sold less returned {sold - returned}"
    if net_view != net or sold_view != sold:
        yield f"views: captured less refunded {net_view}, sold {sold_view}; events: {net}, {sold}"


def stock_is_conserved(evidence: Evidence) -> Iterator[str]:
    """Received = on hand + reserved + shipped - returned, for each article, and none below zero at any moment."""
    query = evidence.ledger.queries
    inventory = query.projection("inventory")
    with query.snapshot(inventory) as (connection, _):
        rows = connection.execute(inventory.table.select()).mappings().all()
    for row in rows:
        stands = row["on_hand"] + row["reserved"] + row["shipped"] - row["returned"]
        if row["received"] != stands or min(row["on_hand"], row["reserved"], row["shipped"]) < 0:
            yield f"view: article {row['sku']}: {dict(row)}"
    on_hand: Counter[str] = Counter()
    for recorded in evidence.events:
        match recorded.event:
            case StockReceived(sku=sku, quantity=pieces) | InventoryReleased(sku=sku, quantity=pieces):
                on_hand[sku] += pieces
            case ItemsRestocked(sku=sku, quantity=pieces):
                on_hand[sku] += pieces
            case InventoryReserved(sku=sku, quantity=pieces):
                on_hand[sku] -= pieces
                if on_hand[sku] < 0:
                    yield f"events: article {sku} fell to {on_hand[sku]} at position {recorded.position}"
    yield from (
        f"article {row['sku']}: view {row['on_hand']} on hand, events {on_hand[row['sku']]}"
        for row in rows
        if row["on_hand"] != on_hand[row["sku"]]
    )


def parcels_packed_are_orders_completed(evidence: Evidence) -> Iterator[str]:
    """A parcel stands packed for each completed order, and for no other."""
    packed: set[str] = set()
    completed: set[str] = set()
    for recorded in evidence.events:
        match recorded.event:
            case ShipmentPrepared(order_id=order_id):
                packed.add(order_id)
            case ShipmentCancelled(order_id=order_id):
                packed.discard(order_id)
            case OrderCompleted(order_id=order_id):
                completed.add(order_id)
    yield from (f"order {order_id} is packed or completed, and not both" for order_id in sorted(packed ^ completed))


def no_superseded_worker_wrote(evidence: Evidence) -> Iterator[str]:
    """G6: no event of an epoch stands beyond the place where the log ended when that lease did."""
    for recorded in evidence.events:
        meta = recorded.meta
        end = evidence.lease_ends.get((meta.worker, meta.epoch))
        if end is not None and recorded.position > end:
            yield f"position {recorded.position} by {meta.worker}, whose lease ended at {end}"


def the_ledger_verifies(evidence: Evidence) -> Iterator[str]:
    """G16, G9: `sagaledger verify` finds the chain whole, and every view equal to the log."""
    verified = subprocess.run(
        [str(COMMAND), "verify", "--json", "--db", evidence.ledger.backend.url, "--app", APP_NAME],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if verified.returncode != 0:
        yield f"verify exits {verified.returncode}: {verified.stderr.strip()[-500:]} {verified.stdout[:1000]}"
    elif json.loads(verified.stdout)["events"] != len(evidence.events):
        yield f"verify saw {json.loads(verified.stdout)['events']} events, the log has {len(evidence.events)}"


def no_worker_ended_by_itself(evidence: Evidence) -> Iterator[str]:
    """Whatever breaks around it, a worker goes on until it is told to stop, and then ends well."""
    yield from (f"worker {e.number} ended with code {e.exit_code}: {e.last_words}" for e in evidence.ended)


CHECKS: dict[str, Callable[[Evidence], Iterable[str]]] = {
    "what was acknowledged is in the log": every_acknowledgement_is_in_the_log,
    "positions are contiguous": positions_are_contiguous,
    "every saga ended or is parked": every_saga_rests,
    "every saga has one outcome": every_saga_has_one_outcome,
    "no step counts twice, each keeps its key": no_step_counts_twice,
    "keys and effects match one to one": keys_and_effects_match,
    "what was undone is undone": what_was_undone_is_undone,
    "money is conserved": money_is_conserved,
    "stock is conserved": stock_is_conserved,
    "parcels packed are orders completed": parcels_packed_are_orders_completed,
    "no superseded worker wrote": no_superseded_worker_wrote,
    "the ledger verifies, views equal the log": the_ledger_verifies,
    "no worker ended by itself": no_worker_ended_by_itself,
}


def read_events(ledger: Ledger) -> Iterator[Recorded]:
    """The whole log."""
    position = 0
    while rows := ledger.backend.read(position, limit=READ_EVENTS):
        yield from map(ledger.mapper.to_recorded, rows)
        position = rows[-1].position


def _sagas(evidence: Evidence) -> dict[str, list[Recorded]]:
    streams: defaultdict[str, list[Recorded]] = defaultdict(list)
    for recorded in evidence.events:
        streams[recorded.stream_id].append(recorded)
    return {stream_id: facts for stream_id, facts in streams.items() if isinstance(facts[0].event, SagaStarted)}


def read_effects(courier_db: Path) -> list[Effect]:
    """What the called service has in its books."""
    connection = sqlite3.connect(courier_db)
    try:
        rows = connection.execute("SELECT key, method, kind, reference FROM effects ORDER BY number").fetchall()
    finally:
        connection.close()
    return [Effect(*row) for row in rows]


def read_lease_ends(url: str) -> dict[tuple[str | None, int | None], int]:
    """What the witness in the database noted."""
    with psycopg.connect(url) as connection:
        return {(worker, epoch): position for worker, epoch, position in connection.execute("TABLE witness.ended")}
