"""What can be done next about a saga, as command lines to copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from ....domain.saga.event_parts import WaitKind
from ...ledger.possible_actions import INTERVENTIONS, ActionName, PossibleAction, SagaWait, progress_of
from ...ledger.saga_overview import SagaOverview
from ..options import Options
from .event_text import wait_in_words
from .remarks import no_worker
from .text import one_line
from .timestamps import show_instant

WHY = ("--reason", "WHY")


def next_steps(overview: SagaOverview, options: Options) -> list[str]:
    """Return the lines that tell a person what the saga waits for and what can be done."""
    saga_id = overview.state.saga_id
    if overview.then is not None:
        return [f"this is the past; as it is now: {options.again('show', saga_id)}"]
    lines = list(_choreographed(overview, options) if overview.process else _orchestrated(overview, options))
    if any(action.name is ActionName.CANCEL for action in overview.actions):
        lines.append(f"to cancel it: {options.again('cancel', saga_id, *WHY)}")
    lines.append(f"all that was recorded: {options.again('history', saga_id)}")
    if overview.put_back_until is not None:
        lines.append(
            f"a worker could not read it, and left it to others; it is due again at "
            f"{show_instant(overview.put_back_until)}: run a worker that knows every event type"
        )
    if overview.unattended:
        lines.append(no_worker(options))
    return lines


def _orchestrated(overview: SagaOverview, options: Options) -> Iterator[str]:
    saga_id = overview.state.saga_id
    decisions = [action for action in overview.actions if action.name in INTERVENTIONS]
    for (_, cause), actions in groupby(decisions, key=lambda action: (action.step, action.why)):
        yield f"a person must decide: {one_line(cause)}"
        for action in actions:
            yield f"  {options.again(*_intervention(saga_id, action))}"
    for wait in overview.waits:
        yield from _waiting(saga_id, wait, overview.actions, options)


def _intervention(saga_id: str, action: PossibleAction) -> Iterable[str]:
    assert action.step is not None  # noqa: S101 -- an intervention is about a step
    result = ("--result", "JSON") if action.name is ActionName.RESOLVE else ()
    return ("intervene", action.name.value, saga_id, "--step", action.step, *result, *WHY)


def _waiting(saga_id: str, wait: SagaWait, actions: Sequence[PossibleAction], options: Options) -> Iterator[str]:
    if wait.step is None:
        yield f"it begins at {show_instant(wait.until)}"
    elif wait.wait is None:
        yield f"step {wait.step} is tried again at {show_instant(wait.until)}"
    else:
        yield one_line(f"step {wait.step} waits {wait_in_words(wait.wait)}{progress_of(wait)}")
        for action in actions:
            if action.step == wait.step and action.name in (ActionName.APPROVE, ActionName.REFUSE):
                yield f"  {options.again(action.name.value, saga_id, wait.step, *WHY)}"
        if wait.wait.kind is WaitKind.SAGA and wait.wait.target is not None:
            yield f"  {options.again('show', wait.wait.target)}"


def _choreographed(overview: SagaOverview, options: Options) -> Iterator[str]:
    for intervention in overview.state.interventions:
        yield f"a person must decide: {one_line(intervention.cause)}"
    deliveries = [action.delivery for action in overview.actions if action.delivery is not None]
    if deliveries:
        yield "to try it again once the cause is corrected:"
        for service, position in deliveries:
            yield f"  {options.again('deadletters', 'replay', service, str(position), *WHY)}"
    if overview.process is not None and overview.process.is_stalled:
        yield f"whether its service runs and what that could not handle: {options.again('participants')}"
        yield f"to let the services react here: {options.again('participants', 'run')}"
