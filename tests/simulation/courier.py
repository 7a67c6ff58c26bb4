"""The called service of another company: it fails, stalls, answers late or never, and records its own effects."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from sagaledger.domain.errors import InvalidInput, StepRejected
from sagaledger.domain.saga.outcome import AttemptOutcome, Success, failure_of
from sagaledger.infrastructure.worker.messages import AttemptEnded, Dispatch

from .scheduler import Scheduler

ANSWER_SECONDS_MAX = 1.0
"""How long a caller waits for an answer."""


class Overloaded(Exception):
    """The service answers with an error, and has no effect."""


class Effect(NamedTuple):
    """An effect of the service."""

    key: str
    kind: str
    order_id: str
    undone: bool


class Courier:
    """Has one effect for each key; a call that was undone before it arrived is refused."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.trouble = 0.0
        """The share of calls that go wrong, each in one of several ways."""
        self.effects: list[Effect] = []
        self._done: set[str] = set()
        self._called_off: set[tuple[str, str]] = set()
        self._scheduler = scheduler
        self._random = random

    def do(self, kind: str, order_id: str, key: str) -> str:
        """Have the effect. Raises `StepRejected` if it was undone before."""
        if key not in self._done:
            if (kind, order_id) in self._called_off:
                raise StepRejected("called off before it came")
            self._enter(Effect(key, kind, order_id, undone=False))
        return f"{kind} of {order_id}"

    def undo(self, kind: str, order_id: str, key: str) -> None:
        """Undo the effect; a call that arrives later is refused."""
        self._called_off.add((kind, order_id))
        if key not in self._done:
            self._enter(Effect(key, kind, order_id, undone=True))

    def call(self, dispatch: Dispatch, tell: Callable[[AttemptEnded], None]) -> None:
        """Make a call, which may arrive or not; its answer may arrive, or not, or too late."""
        saga, attempt = dispatch.saga, dispatch.attempt
        answered = False

        def answer(outcome: AttemptOutcome) -> None:
            nonlocal answered
            if not answered:
                answered = True
                tell(AttemptEnded(saga, attempt, outcome))

        def arrive() -> None:
            outcome = self._attempt(dispatch)
            if trouble != "reply lost":
                self._scheduler.after(self._delay(), lambda: answer(outcome))

        trouble = self._trouble()
        if trouble != "request lost":
            self._scheduler.after(self._delay() + (2 * ANSWER_SECONDS_MAX if trouble == "late" else 0.0), arrive)
        self._scheduler.after(ANSWER_SECONDS_MAX, lambda: answer(failure_of(TimeoutError("no answer"))))

    def _attempt(self, dispatch: Dispatch) -> AttemptOutcome:
        """Returns the outcome of the step's function, as the worker would see it."""
        saga, step, context = dispatch.saga, dispatch.step, dispatch.context
        try:
            self._admit()
            value = saga.definition.read_input(saga.state.input)
            result = step.invoke(context, value)
            return Success(step.write_result(context.direction, result))
        except (StepRejected, Overloaded, InvalidInput) as error:
            return failure_of(error)

    def _admit(self) -> None:
        if self._random.random() < self.trouble / 2:
            raise Overloaded("busy")

    def _trouble(self) -> str:
        if self._random.random() >= self.trouble:
            return ""
        return self._random.choice(["request lost", "reply lost", "late"])

    def _delay(self) -> float:
        return self._random.uniform(0.001, 0.05)

    def _enter(self, effect: Effect) -> None:
        self._done.add(effect.key)
        self.effects.append(effect)
