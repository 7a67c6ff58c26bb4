"""What must hold after any campaign; each check gives the violations that it finds.

A violation is a sentence that names the thing. No check trusts another one, nor the code that wrote what it reads:
sums are taken over the views and, on their own, over the events.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sagaledger import Direction, Ledger
from sagaledger.domain.saga.events import (
    CompensationStarted,
    SagaCompensated,
    SagaCompleted,
    StepCompensated,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.evolve import rebuild
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop import OrderCancelled, OrderCompleted, ReturnCompleted

from .app import APP
from .client import Acknowledgement
from .conservation import money_is_conserved, parcels_packed_are_orders_completed, stock_is_conserved
from .effects import keys_and_effects_match, what_was_undone_is_undone
from .evidence import Evidence, read_effects, read_events, read_lease_ends, sagas_of
from .fleet import APP as APP_NAME
from .fleet import COMMAND, ROOT, Ended

SHOWN_MAX = 5
"""How many violations of one kind are spelled out."""


class Finding(NamedTuple):
    """What one check found."""

    promise: str
    violations: list[str]


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
    for saga_id, facts in sagas_of(evidence).items():
        state = rebuild(saga_id, (recorded.event for recorded in facts))
        if state.end is None and state.status is not Status.NEEDS_INTERVENTION:
            yield f"{saga_id} is still {state.status}"
    yield from (f"{change.saga_id} is still due" for change in evidence.ledger.backend.entries())


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
