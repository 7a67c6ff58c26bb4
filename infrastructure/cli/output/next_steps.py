"""What can be done next about a saga, as command lines to copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from ....domain.saga.event_parts import WaitKind
from ...ledger.possible_actions import INTERVENTIONS, ActionName, PossibleAction, SagaWait, progress_of
from ...ledger.saga_overview import SagaOverview
from ..options import Options
from .event_text import ShowInstant, wait_in_words
from .remarks import no_worker
from .screen import Line, command_lines, wrapped
from .text import one_line
from .timestamps import show_instant

WHY = ("--reason", "WHY")
INDENT = "  "


class NextStep(NamedTuple):
    """What a person should know or can do next: in words, as a command to copy, or both."""

    text: str = ""
    command: str = ""

    @property
    def line(self) -> str:
        """It on one line."""
        return ": ".join(filter(None, self)) if self.text else f"{INDENT}{self.command}"


def next_lines(steps: Iterable[NextStep], width: int) -> Iterator[Line]:
    """Yield them on a screen, with commands on lines of their own that can be copied."""
    for step in steps:
        if step.text:
            yield from wrapped(f"{step.text}:" if step.command else step.text, width, INDENT)
        if step.command:
            yield from command_lines(step.command, width, INDENT * 2)


def next_steps(overview: SagaOverview, options: Options, when: ShowInstant = show_instant) -> list[NextStep]:
    """Return what a person should know of what the saga waits for, and what can be done; `when` shows times."""
    saga_id = overview.state.saga_id
    if overview.then is not None:
        return [NextStep("this is the past; as it is now", options.again("show", saga_id))]
    if overview.process:
        steps = list(_choreographed(overview, options))
    else:
        steps = list(_orchestrated(overview, options, when))
    if any(action.name is ActionName.CANCEL for action in overview.actions):
        steps.append(NextStep("to cancel it", options.again("cancel", saga_id, *WHY)))
    steps.append(NextStep("all that was recorded", options.again("history", saga_id)))
    if overview.put_back_until is not None:
        steps.append(
            NextStep(
                f"a worker could not read it, and left it to others; it is due again at "
                f"{when(overview.put_back_until)}: run a worker that knows every event type"
            )
        )
    if overview.unattended:
        steps.append(NextStep(no_worker(options)))
    return steps


def _orchestrated(overview: SagaOverview, options: Options, when: ShowInstant) -> Iterator[NextStep]:
    saga_id = overview.state.saga_id
    yield from _decisions(saga_id, overview.actions, options, "a person must decide")
    for wait in overview.waits:
        yield from _waiting(saga_id, wait, overview.actions, options, when)
    for each in overview.sub_sagas_in_need:
        yield from _decisions(each.saga_id, each.actions, options, f"sub-saga {each.saga_id} needs a person")


def _decisions(saga_id: str, actions: Iterable[PossibleAction], options: Options, what: str) -> Iterator[NextStep]:
    decisions = [action for action in actions if action.name in INTERVENTIONS]
    for (_, cause), grouped in groupby(decisions, key=lambda action: (action.step, action.why)):
        yield NextStep(f"{what}: {one_line(cause)}")
        for action in grouped:
            yield NextStep("", options.again(*_intervention(saga_id, action)))


def _intervention(saga_id: str, action: PossibleAction) -> Iterable[str]:
    assert action.step is not None  # noqa: S101 -- an intervention is about a step
    result = ("--result", "JSON") if action.name is ActionName.RESOLVE else ()
    return ("intervene", action.name.value, saga_id, "--step", action.step, *result, *WHY)


def _waiting(
    saga_id: str, wait: SagaWait, actions: Sequence[PossibleAction], options: Options, when: ShowInstant
) -> Iterator[NextStep]:
    if wait.step is None:
        yield NextStep(f"it begins at {when(wait.until)}")
    elif wait.wait is None:
        yield NextStep(f"step {wait.step} is tried again at {when(wait.until)}")
    else:
        yield NextStep(one_line(f"step {wait.step} waits {wait_in_words(wait.wait, when)}{progress_of(wait)}"))
        for action in actions:
            if action.step == wait.step and action.name in (ActionName.APPROVE, ActionName.REFUSE):
                yield NextStep("", options.again(action.name.value, saga_id, wait.step, *WHY))
        if wait.wait.kind is WaitKind.SAGA and wait.wait.target is not None:
            yield NextStep("", options.again("show", wait.wait.target))


def _choreographed(overview: SagaOverview, options: Options) -> Iterator[NextStep]:
    for intervention in overview.state.interventions:
        yield NextStep(f"a person must decide: {one_line(intervention.cause)}")
    deliveries = [action.delivery for action in overview.actions if action.delivery is not None]
    if deliveries:
        yield NextStep("to try it again once the cause is corrected:")
        for service, position in deliveries:
            yield NextStep("", options.again("deadletters", "replay", service, str(position), *WHY))
    if overview.process is not None and overview.process.is_stalled:
        yield NextStep("whether its service runs and what that could not handle", options.again("participants"))
        yield NextStep("to let the services react here", options.again("participants", "run"))
