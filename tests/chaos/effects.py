"""What the called service did, against what the log says of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sagaledger import Direction
from sagaledger.domain.saga.events import (
    CompensationStarted,
    SagaCompensated,
    SagaCompleted,
    StepCompensated,
    StepStarted,
    StepSucceeded,
)

from .evidence import Evidence


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
