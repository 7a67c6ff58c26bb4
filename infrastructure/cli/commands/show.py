"""`show`: one saga on one screen: where it stands, every attempt of every step, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ....domain.recorded_event import RecordedEvent
from ....domain.saga.events import CancelRequested, Direction, InterventionResolved, SignalReceived, WaitKind
from ....domain.saga.evolve import rebuild
from ....domain.saga.state import Progress, SagaState, Status
from ....projections.projection import Row
from ....projections.saga.saga_steps import saga_steps
from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.documents import state_document
from ..output.event_text import shown, wait_in_words, words
from ..output.output import Block, answer, jsonable
from ..output.process_report import ProcessReport
from ..output.table import Table
from ..output.text import counted, one_line
from ..output.timestamps import show_instant
from ..session import open_ledger
from .history import BACK
from .workers import unattended

ATTEMPTS = (
    "step", "attempt", "status", "started_at", "seconds", "retry_at", "waits_for", "waits_until", "worker", "error",
)  # fmt: skip
TONES = {"failed": "red", "unknown": "red", "succeeded": None, "started": "bold"}


def show(saga_id: str, /, *, options: Options = DEFAULTS) -> ExitCode:
    """One saga on one screen: where it stands, every attempt of every step, and what to do next.

    Parameters
    ----------
    saga_id
        The saga's id, such as fulfil_order-536365.
    """
    with open_ledger(options) as ledger:
        choreography = ledger.app.choreography_of(saga_id)
        told = ledger.history(saga_id, participants=choreography is not None)
        recorded = [each for each in told if each.stream_id == saga_id]
        state = rebuild(saga_id, (r.event for r in recorded))
        idle = None if choreography or state.end or state.interventions else unattended(ledger, options)
    attempts = _attempts(recorded)
    emergent = None if choreography is None else ProcessReport.of(choreography, state, told, datetime.now(UTC))
    possible = _remedies(state, options) if emergent is None else emergent.remedies(state, options)
    remedies = [*possible, *([idle] if idle else [])]
    document = {
        **state_document(state),
        **({} if emergent is None else {"choreography": emergent.document()}),
        "attempts": [{name: jsonable(value) for name, value in row.items()} for row in attempts],
        "next": remedies,
    }
    answer(options, document, lambda: _screen(state, recorded, emergent, attempts, remedies))
    return ExitCode.OK


def _attempts(recorded: Sequence[RecordedEvent]) -> list[Row]:
    """Every attempt, in the order of their starts: the rows that the view `saga_steps` makes of these events."""
    folded = saga_steps.fold(saga_steps.touches(recorded), {})
    return sorted(folded.written, key=lambda row: row["started_at"])


def _screen(
    state: SagaState,
    recorded: Sequence[RecordedEvent],
    emergent: ProcessReport | None,
    attempts: list[Row],
    remedies: list[str],
) -> Iterable[Block]:
    yield f"{state.saga_id}  {_standing(state)}"
    for name, value in (*_facts(state, recorded), *(() if emergent is None else emergent.lines())):
        if value:
            yield f"  {name:<11} {value}"
    if attempts:
        yield ""
        yield _table(attempts)
    if remedies:
        yield ""
        yield "next"
        yield from (f"  {remedy}" for remedy in remedies)


def _table(attempts: list[Row]) -> Table:
    """The attempts, with the columns that say something."""
    told = [{**row, "step": _marked(row), "seconds": _seconds(row["started_at"], row["ended_at"])} for row in attempts]
    columns = [name for name in ATTEMPTS if any(row[name] is not None for row in told)]
    styles = {index: tone for index, row in enumerate(attempts) if (tone := TONES.get(row["status"]))}
    rows = [[row[name] for name in columns] for row in told]
    return Table(columns, rows, styles, flexible=("error", "worker"), in_full=frozenset(range(len(rows))))


def _marked(row: Row) -> str:
    return f"{BACK}{row['step']}" if row["direction"] == Direction.COMPENSATION else str(row["step"])


def _seconds(started_at: datetime, ended_at: datetime | None) -> float | None:
    return None if ended_at is None else round((ended_at - started_at).total_seconds(), 3)


def _standing(state: SagaState) -> str:
    no_way_back = state.past_pivot and state.end is None
    return f"{state.status.value}, past its pivot" if no_way_back else state.status.value


def _facts(state: SagaState, recorded: Sequence[RecordedEvent]) -> Iterable[tuple[str, str]]:
    yield "definition", f"{state.definition} version {state.definition_version} ({state.fingerprint}), {state.style}"
    yield "started", f"{show_instant(state.started_at)} by {recorded[0].meta.actor or 'an unnamed actor'}"
    yield "ended", _ended(state.started_at, state.ended_at)
    yield "begins", show_instant(state.begins_at)
    yield "deadline", show_instant(state.deadline)
    yield "cause", one_line(state.cause or "")
    for each in recorded:
        if isinstance(each.event, CancelRequested | InterventionResolved | SignalReceived):
            told = words(each.event)
            yield "operated", f"{show_instant(each.recorded_at)} {told.event} {told.step or ''} {told.detail}"
    yield "input", shown(state.input)
    yield "result", "" if state.result is None else shown(state.result)
    yield "events", f"{counted(len(recorded), 'event')}, positions {recorded[0].position} to {recorded[-1].position}"


def _ended(started_at: datetime | None, ended_at: datetime | None) -> str:
    if started_at is None or ended_at is None:
        return ""
    return f"{show_instant(ended_at)}, after {_seconds(started_at, ended_at)} seconds"


def _remedies(state: SagaState, options: Options) -> Iterable[str]:
    """What a person can do now."""
    for waiting in state.interventions:
        yield f"a person must decide: {one_line(waiting.cause)}"
        for action, extra in (("retry", ()), ("skip", ()), ("resolve", ("--result", "JSON")), ("abandon", ())):
            line: Any = ("intervene", action, state.saga_id, "--step", waiting.step, *extra, "--reason", "WHY")
            yield f"  {options.again(*line)}"
    if state.status is Status.WAITING:
        yield from _waits(state, options)
    if state.end is None and not state.compensating and not state.past_pivot and not state.interventions:
        yield f"to turn it back: {options.again('cancel', state.saga_id, '--reason', 'WHY')}"
    yield f"all that was recorded: {options.again('history', state.saga_id)}"


def _waits(state: SagaState, options: Options) -> Iterable[str]:
    """What a saga waits for, until when, and who can help."""
    if state.scheduled:
        yield f"it begins at {show_instant(state.begins_at)}"
    for name, step in state.steps.items():
        track = step.forward
        if track.progress is Progress.RETRYING:
            yield f"step {name} is tried again at {show_instant(track.retry_at)}"
        elif track.progress is Progress.WAITING and track.wait is not None:
            yield f"step {name} waits {wait_in_words(track.wait)}"
            if track.wait.kind is WaitKind.SIGNAL:
                for command in ("approve", "refuse"):
                    yield f"  {options.again(command, state.saga_id, name, '--reason', 'WHY')}"
            elif track.wait.kind is WaitKind.SAGA and track.wait.target is not None:
                yield f"  {options.again('show', track.wait.target)}"
