"""One saga on one screen: what became of it and why, every attempt of every step, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from ....domain.saga.events import CancelRequested, InterventionResolved, SignalReceived, SignalRejected
from ....projections.saga.saga_steps import STARTED
from ...ledger.possible_actions import progress_of
from ...ledger.process_report import ProcessReport
from ...ledger.saga_overview import SagaOverview
from .elapsed import Since, dated, elapsed
from .event_text import describe, shown
from .next_steps import NextStep, next_lines
from .saga_text import ITEM_ATTEMPTS_SHOWN, ITEMS_SHOWN, notable_attempts
from .screen import Line, labelled, wrapped
from .step_chart import step_chart
from .step_tree import step_tree
from .text import counted, one_line
from .worker_names import short_names

ALARM = "bold red"
ATTEMPTS_MAX = 5
"""How many attempts and waits are told of at the top; the chart has every one."""


def since_start(overview: SagaOverview) -> Since:
    """Return the start of a saga, from which its screen counts."""
    return Since(overview.state.started_at or overview.events[0].recorded_at)


def saga_screen(overview: SagaOverview, steps: Sequence[NextStep], now: datetime, width: int) -> Iterator[Line]:
    """Yield the lines of the screen; `steps` are what is said under `next`."""
    state, since = overview.state, since_start(overview)
    past = ", past its pivot" if state.past_pivot and state.end is None else ""
    yield from wrapped(f"{state.saga_id}  {state.status.value}{past}", width, style="bold")
    for alarm in _alarms(overview, since):
        yield from wrapped(alarm, width, "  ", style=ALARM)
    for sentence in _standing(overview, now):
        yield from wrapped(sentence, width, "  ")
    yield Line("")
    workers = {} if overview.process is not None else short_names(row["worker"] for row in overview.attempts)
    yield from labelled(_properties(overview, since, now, list(workers.values())), width)
    branches = list(step_tree(overview.events, notable_attempts(state, overview.attempts)))
    if branches:
        yield Line("")
        yield from step_chart(branches, since, now, width, workers)
    yield from next_block(steps, width)


def next_block(steps: Sequence[NextStep], width: int) -> Iterator[Line]:
    """Yield what is said under `next`."""
    if steps:
        yield Line("")
        yield Line("next", "bold")
        yield from next_lines(steps, width)


def _alarms(overview: SagaOverview, since: Since) -> Iterator[str]:
    """Yield what a person has to look at first."""
    for intervention in overview.state.interventions:
        yield f"a person must decide: {one_line(intervention.cause)}"
    for each in overview.sub_sagas_in_need:
        yield f"sub-saga {each.saga_id} needs a person: {one_line(each.actions[0].why)}"
    if overview.unattended:
        yield "no worker is running"
    if overview.process is not None:
        yield from _process_alarms(overview.process, since)


def _standing(overview: SagaOverview, now: datetime) -> Iterator[str]:
    """Yield why the saga is where it is: the cause of its end, or what is under way and what it waits for."""
    if overview.state.cause:
        yield f"cause: {overview.state.cause}"
    if overview.error and not overview.state.interventions:
        yield f"failed: {': '.join(filter(None, (overview.failed_step, overview.error)))}"
    for row in overview.attempts[-ATTEMPTS_MAX:]:
        if row["status"] == STARTED:
            since = elapsed((now - row["started_at"]).total_seconds())
            yield f"under way for {since}: step {row['step']}, attempt {row['attempt']}"
    in_need = {each.saga_id for each in overview.sub_sagas_in_need}
    for wait in overview.waits[:ATTEMPTS_MAX]:
        if wait.wait is None:
            begins = "it begins" if wait.step is None else f"step {wait.step} is tried again"
            yield f"{begins} at {since_start(overview).moment(wait.until)}"
        elif wait.wait.target not in in_need:
            target = "" if wait.wait.target is None else f" {wait.wait.target}"
            yield f"step {wait.step} waits for {wait.wait.kind.value}{target}{progress_of(wait)}"


def _process_alarms(report: ProcessReport, since: Since) -> Iterator[str]:
    if report.is_stalled and report.silent_since is not None and report.stalls_at is not None:
        allowed = (report.stalls_at - report.silent_since).total_seconds()
        yield f"STALLED: no event since {since.moment(report.silent_since)}; {elapsed(allowed)} are allowed"
    for finding in report.findings:
        yield f"FINDING: {finding.topic} @{finding.position} {finding.problem}"


def _properties(
    overview: SagaOverview, since: Since, now: datetime, workers: Sequence[str]
) -> Iterable[tuple[str, str]]:
    state, events, process = overview.state, overview.events, overview.process
    if process is not None and process.waits_for is not None:
        yield "waits for", f"{process.waits_for}, which service {process.service} owes"
    yield "started", f"{dated(since.origin)} UTC by {events[0].meta.actor or 'an unnamed actor'}"
    if state.ended_at is None:
        last = state.updated_at or since.origin
        ago = elapsed((now - last).total_seconds())
        yield "so far", f"{elapsed((now - since.origin).total_seconds())}, last event {ago} ago ({since.offset(last)})"
        yield "begins", since.moment(state.begins_at)
        passed = state.deadline is not None and state.deadline < now
        yield "deadline", f"{since.moment(state.deadline)}{', which has passed' if passed else ''}"
    else:
        yield "took", elapsed((state.ended_at - since.origin).total_seconds())
    yield "step of", "" if state.parent is None else state.parent.saga_id
    for each in events:
        if isinstance(each.event, CancelRequested | InterventionResolved | SignalReceived | SignalRejected):
            text = describe(each.event, since.moment)
            what = "" if isinstance(each.event, SignalReceived) else f"{text.event} {text.step or ''}".rstrip()
            yield "operated", " ".join(filter(None, (since.offset(each.recorded_at), what, text.detail)))
    yield "definition", f"{state.definition} version {state.definition_version} ({state.fingerprint}), {state.style}"
    for name, values in overview.attributes.items():
        yield "found by", f"{name}={', '.join(values)}"
    yield "input", shown(state.input)
    yield "result", "" if state.result is None or bytes(state.result) == b"null" else shown(state.result)
    for name, items in state.items.items():
        if items.open or items.total > ITEMS_SHOWN:
            ended = f"{items.ended:,} of {counted(items.total, 'item')} ended, {len(items.open):,} under way"
            yield "items", f"{name}: {ended}"
        if items.total > ITEMS_SHOWN:
            yield "", f"below are the latest attempts that did not succeed, at most {ITEM_ATTEMPTS_SHOWN}"
    yield "events", f"{len(events):,}, @{events[0].position} to @{events[-1].position}"
    yield "worker" if len(workers) == 1 else "workers", ", ".join(workers)
