"""A test of a saga as a sentence: given what was there, when the saga runs, then this has happened."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

import msgspec

from ...domain.event import Event
from ...domain.participant import Participant
from ...domain.saga.events import COMPENSATION, FORWARD
from ...domain.saga.saga import Saga
from ...domain.saga.state import Status
from ...domain.saga.step_state import WAITING
from .plan import Failures, PlannedIntervention, PlannedSignal, Results
from .rehearsal import Rehearsal, rehearse

I = TypeVar("I")  # noqa: E741 -- the saga's input, as the documentation calls it

_UNASKED: Any = object()


class Scenario(Generic[I]):
    """Rehearses a saga, and calls nothing real that the test does not name.

    `Scenario(saga).given(results={"charge": "r-1"}).when(order).then(status=Status.COMPLETED)`.
    """

    def __init__(self, saga: Saga[I], *, participants: Iterable[Participant[Any]] = ()) -> None:
        self._saga = saga
        self._participants = tuple(participants)
        self._streams: dict[str, list[Event]] = {}
        self._fail: Failures = {}
        self._results: Results = {}
        self._signals: list[PlannedSignal] = []
        self._interventions: list[PlannedIntervention] = []
        self._call: set[str] = set()

    def given(
        self,
        streams: Mapping[str, Sequence[Event]] | None = None,
        *,
        results: Results | None = None,
        fail: Failures | None = None,
        signals: Iterable[PlannedSignal] = (),
        interventions: Iterable[PlannedIntervention] = (),
        call: Collection[str] = (),
    ) -> Self:
        """Add what is there, and what will happen (see `rehearse`). `call`: the steps whose own code is called."""
        for stream_id, events in (streams or {}).items():
            self._streams.setdefault(stream_id, []).extend(events)
        self._fail = {**self._fail, **(fail or {})}
        self._results = {**self._results, **(results or {})}
        self._signals += signals
        self._interventions += interventions
        self._call.update(call)
        return self

    def when(self, value: I, *, cancel_at: float | None = None, until: float | None = None) -> Happened:
        """Run the saga with an input. Raises what `rehearse` raises."""
        return Happened(
            rehearse(
                self._saga,
                value,
                participants=self._participants,
                given=self._streams,
                fail=self._fail,
                results=self._results,
                signals=self._signals,
                interventions=self._interventions,
                cancel_at=cancel_at,
                until=until,
                call=self._call,
            )
        )


class Happened:
    """What happened in a scenario; `rehearsal` has all of it."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal

    def then(
        self,
        *,
        status: Status | None = None,
        result: Any = _UNASKED,
        called: Sequence[str] | None = None,
        compensated: Sequence[str] | None = None,
        recorded: Sequence[type[Event]] | None = None,
        waits_for: str | None = None,
    ) -> Self:
        """Assert what is asked for; the failure shows the whole course.

        - `result`: the saga's, as JSON reads it; `called`: the steps that called a service, an entry for each attempt;
        - `compensated`: the steps whose compensation called one, in order;
        - `recorded`: the types of the events that participants recorded, in order;
        - `waits_for`: the step that waits at the end.
        """
        state, attempts = self.rehearsal.state, self.rehearsal.attempts
        if status is not None:
            self._compare("the status", state.status, status)
        if result is not _UNASKED:
            self._compare("the result", msgspec.json.decode(state.result or b"null"), msgspec.to_builtins(result))
        if called is not None:
            self._compare("the calls", [a.step for a in attempts if a.direction is FORWARD], list(called))
        if compensated is not None:
            undone = dict.fromkeys(a.step for a in attempts if a.direction is COMPENSATION)
            self._compare("the compensations", list(undone), list(compensated))
        if recorded is not None:
            types = [type(event).__name__ for _, event in self.rehearsal.participant_events]
            self._compare("the events of participants", types, [each.__name__ for each in recorded])
        if waits_for is not None:
            waiting = [name for name, step in state.steps.items() if step.forward.progress is WAITING]
            self._compare("the step that waits", waiting, [waits_for])
        return self

    def _compare(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            course = "\n".join(f"  {_in_short(event)}" for event in self.rehearsal.saga_events)
            raise AssertionError(f"{what}: expected {expected!r}, found {found!r}; the saga's events were\n{course}")


def _in_short(event: Event) -> str:
    """Return an event's name, and the step that it is of."""
    step, error = getattr(event, "step", None), getattr(event, "error", None)
    text = type(event).schema.name if step is None else f"{type(event).schema.name} {step}"
    return text if error is None else f"{text}: {error.type}: {error.message}"
