"""The invariants of every run; each check yields the violations that it finds, as sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime

from sagaledger.domain.event import Event
from sagaledger.domain.saga.events import (
    CompensationStarted,
    Direction,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepStarted,
    StepSucceeded,
)
from sagaledger.domain.saga.replay import replay
from sagaledger.domain.saga.state import Status
from sagaledger.domain.shop import (
    InventoryReleased,
    InventoryReserved,
    ItemsRestocked,
    LoyaltyPointsAwarded,
    LoyaltyPointsDeducted,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    PaymentRefunded,
    PaymentSucceeded,
    StockReceived,
    points_for,
)
from sagaledger.infrastructure.event_store.verify import verify
from sagaledger.infrastructure.event_store.work_queue import FencingToken

from .world import World

Check = Callable[[World], Iterator[str]]
HEARD_SECONDS_MAX = 1.0
DELIVERED = {"insurance", "booking", "paper", "ribbon", "parcel", "letter"}


def violations(world: World) -> list[str]:
    """Returns every violation, with the name of its check."""
    return [f"{check.__name__}: {found}" for check in CHECKS for found in check(world)]


def the_log_is_whole(world: World) -> Iterator[str]:
    """Positions are contiguous, digests and hash chain are valid (G3, G16)."""
    yield from (f"position {problem.position}: {problem.problem}" for problem in verify(world.log).problems)


def every_saga_has_ended(world: World) -> Iterator[str]:
    """Every saga ends, whichever processes died (G7), and the work queue is empty."""
    for saga_id, state in world.sagas().items():
        if state.end is None:
            yield f"{saga_id} is still {state.status} ({state.interventions})"
    yield from (f"{row.saga_id} is still in the work queue" for row in world.log.entries())


def every_saga_has_one_end(world: World) -> Iterator[str]:
    """It is completed or compensated, once."""
    ends = Counter(r.stream_id for r in world.events if isinstance(r.event, SagaCompleted | SagaCompensated))
    yield from (f"{saga_id} ended {times} times" for saga_id, times in ends.items() if times > 1)


def every_history_replays(world: World) -> Iterator[str]:
    """What was decided would be decided again from the events before it: a replay finds changes of the code alone."""
    streams: defaultdict[str, list[Event]] = defaultdict(list)
    for recorded in world.events:
        streams[recorded.stream_id].append(recorded.event)
    for saga_id, events in streams.items():
        if isinstance(start := events[0], SagaStarted):
            definition = world.app.definition(start.definition, start.definition_version)
            if (divergence := replay(definition, events, saga_id)) is not None:
                yield str(divergence)


def no_superseded_worker_wrote(world: World) -> Iterator[str]:
    """No event of a worker stands beyond the position at which its lease ended (G6)."""
    for recorded in world.events:
        epoch = FencingToken(recorded.meta.worker or "", recorded.meta.epoch or 0)
        end = world.lease_ends.get(epoch)
        if end is not None and recorded.position > end:
            yield f"position {recorded.position} by {epoch.worker_id}, whose lease ended at {end}"


def no_step_counts_twice(world: World) -> Iterator[str]:
    """A step succeeds once and is undone once, and its attempts share one key (G5)."""
    done: Counter[tuple[str, str, str]] = Counter()
    keys: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for recorded in world.events:
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


def what_was_undone_was_undone_in_reverse(world: World) -> Iterator[str]:
    """A step is undone only once every step that was built on it, and had to be undone, is (G8)."""
    begun: defaultdict[str, set[str]] = defaultdict(set)
    for recorded in world.events:
        if isinstance(recorded.event, CompensationStarted):
            begun[recorded.stream_id].add(recorded.event.step)
    undone: defaultdict[str, set[str]] = defaultdict(set)
    for recorded in world.events:
        saga_id = recorded.stream_id
        match recorded.event:
            case StepCompensated(step=step):
                undone[saga_id].add(step)
            case CompensationStarted(step=step):
                built_on_it = world.app.definition(saga_id.partition("-")[0]).dependents[step]
                if left := built_on_it & begun[saga_id] - undone[saga_id]:
                    yield f"{saga_id} undid {step} before {sorted(left)}"


def no_worker_errs_twice_alike(world: World) -> Iterator[str]:
    """A worker that learned of a conflict reads the stream before it writes to it again."""
    for error, appends in world.log.outdated.items():
        if len(appends) > 1:
            end = f"{error.stream_id} ends at version {error.expected_version}"
            yield f"{error.worker_id} appended {len(appends)} times as if {end}"


def an_answer_is_heard_at_once(world: World) -> Iterator[str]:
    """A held saga goes on as soon as another process writes to it, not only at its timeout."""
    said: dict[str, datetime] = {}
    for recorded in world.events:
        if isinstance(recorded.event, SignalReceived) and recorded.stream_id.startswith("ask-"):
            said[recorded.stream_id] = recorded.recorded_at
        elif isinstance(recorded.event, StepSucceeded) and recorded.stream_id in said:
            seconds = (recorded.recorded_at - said.pop(recorded.stream_id)).total_seconds()
            if seconds > HEARD_SECONDS_MAX:
                yield f"{recorded.stream_id} heard its answer after {seconds:.1f} s"


def no_process_was_at_fault(world: World) -> Iterator[str]:
    """No process began a step under an expired lease, or differed from the work queue on what it holds."""
    yield from world.machine.faults


def keys_and_effects_match(world: World) -> Iterator[str]:
    """The called service has one effect for each key, all of them asked for, and every recorded success."""
    asked: set[str] = set()
    started: dict[tuple[str, str, type], str] = {}
    done: set[str] = set()
    for recorded in world.events:
        match recorded.event:
            case StepStarted(step=step, key=key) | CompensationStarted(step=step, key=key):
                asked.add(key)
                started[recorded.stream_id, step, type(recorded.event)] = key
            case StepSucceeded(step=step) if step in CALLS:
                done.add(started[recorded.stream_id, step, StepStarted])
            case StepCompensated(step=step) if step in CALLS:
                done.add(started[recorded.stream_id, step, CompensationStarted])
    times = Counter(effect.key for effect in world.courier.effects)
    yield from (f"key {key} had {n} effects" for key, n in times.items() if n > 1)
    yield from (f"effect {key} was never asked for" for key in times if key.split()[0] not in asked)
    yield from (f"key {key} is on record as done, and was not" for key in done if key not in times)


def what_stands_fits_the_end(world: World) -> Iterator[str]:
    """The courier keeps every effect of a delivered order, and none of a compensated one."""
    standing: defaultdict[str, set[str]] = defaultdict(set)
    for _, kind, order_id, undone in world.courier.effects:
        (standing[order_id].discard if undone else standing[order_id].add)(kind)
    for saga_id, state in world.sagas().items():
        order_id = saga_id.removeprefix("deliver-")
        wanted = {Status.COMPLETED: DELIVERED, Status.COMPENSATED: set()}.get(state.status)
        if order_id != saga_id and wanted is not None and standing[order_id] != wanted:
            yield f"{saga_id} is {state.status}, and there stands {sorted(standing[order_id])}"


def goods_and_money_are_conserved(world: World) -> Iterator[str]:
    """A completed order keeps its goods, paid its total and earned its points; of a cancelled one nothing is left."""
    totals: dict[str, int] = {}
    ends: defaultdict[str, list[type]] = defaultdict(list)
    paid: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    points: Counter[str] = Counter()
    shelf: Counter[str] = Counter()
    for recorded in world.events:
        match recorded.event:
            case OrderCreated(order_id=id_, total_minor=total):
                totals[id_] = total
            case OrderCompleted(order_id=id_) | OrderCancelled(order_id=id_):
                ends[id_].append(type(recorded.event))
            case PaymentSucceeded(order_id=id_, amount_minor=amount):
                paid[id_] += amount
            case PaymentRefunded(order_id=id_, amount_minor=amount):
                paid[id_] -= amount
            case LoyaltyPointsAwarded(order_id=id_, points=number):
                points[id_] += number
            case LoyaltyPointsDeducted(order_id=id_, points=number):
                points[id_] -= number
            case StockReceived(sku=sku, quantity=pieces) | ItemsRestocked(sku=sku, quantity=pieces):
                shelf[sku] += pieces
            case InventoryReserved(order_id=id_, sku=sku, quantity=pieces):
                shelf[sku] -= pieces
                kept[id_] += pieces
                if shelf[sku] < 0:
                    yield f"there are {shelf[sku]} of {sku} at position {recorded.position}"
            case InventoryReleased(order_id=id_, sku=sku, quantity=pieces):
                shelf[sku] += pieces
                kept[id_] -= pieces
    for id_, total in totals.items():
        completed = ends[id_] == [OrderCompleted]
        if len(ends[id_]) > 1:
            yield f"order {id_} ended {len(ends[id_])} times"
        elif ends[id_] and (paid[id_], points[id_]) != ((total, points_for(total)) if completed else (0, 0)):
            yield f"order {id_} of {total} is {ends[id_][0].__name__}: paid {paid[id_]}, {points[id_]} points"
        elif ends[id_] and (kept[id_] > 0) is not completed:
            yield f"order {id_} is {ends[id_][0].__name__}, and keeps {kept[id_]} pieces"


CALLS = {"insure", "book", "hand_over", "announce", "paper", "ribbon"}
CHECKS: tuple[Check, ...] = (
    the_log_is_whole,
    every_saga_has_ended,
    every_saga_has_one_end,
    every_history_replays,
    no_superseded_worker_wrote,
    no_step_counts_twice,
    what_was_undone_was_undone_in_reverse,
    no_worker_errs_twice_alike,
    an_answer_is_heard_at_once,
    no_process_was_at_fault,
    keys_and_effects_match,
    what_stands_fits_the_end,
    goods_and_money_are_conserved,
)
