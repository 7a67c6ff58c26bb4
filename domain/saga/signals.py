"""The signals of a saga: each ends the waiting of one step, and is kept in order until a step takes it.

A step takes the first signal of its name that counts for it (see `ReceivedSignal.counts_for`). Of the steps that wait
for one signal, the step that began to wait first takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from .events import SignalReceived, Wait, WaitKind
from .state import ReceivedSignal, SagaState
from .step_state import PENDING, RETRYING, WAITING, StepProgress

SIGNALS_OPEN_MAX = 1_000
"""The most signals of one saga that no step has taken."""
SIGNAL_BYTES_OPEN_MAX = 8 * 1024 * 1024
"""The most bytes that the payloads of these may have together."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

Signals = Mapping[str, tuple[ReceivedSignal, ...]]


class OpenSignals:
    """The signals that no step has taken, while a run of events is folded: only the queues that change are copied."""

    __slots__ = ("_before", "_changed")

    def __init__(self, before: Signals) -> None:
        self._before = before
        self._changed: dict[str, list[ReceivedSignal]] = {}

    def add(self, event: SignalReceived) -> None:
        """Keep a signal behind those of its name."""
        self._queue(event.name).append(ReceivedSignal(event.payload, event.refused, event.at, event.step))

    def take(self, step: str, wait: Wait) -> None:
        """Remove the signal that ends a step's waiting; without one, the waiting ended otherwise."""
        name = wait.target or ""
        if name in self._changed or name in self._before:
            queue = self._queue(name)
            taken = first_for(queue, step, wait)
            if taken is not None:
                queue.remove(taken)

    def folded(self) -> Signals:
        """Returns the queues as they are now, without the empty ones."""
        queues = {**self._before, **{name: tuple(queue) for name, queue in self._changed.items()}}
        return {name: queue for name, queue in queues.items() if queue}

    def _queue(self, name: str) -> list[ReceivedSignal]:
        queue = self._changed.get(name)
        if queue is None:
            queue = self._changed[name] = list(self._before.get(name, ()))
        return queue


def first_for(queue: Iterable[ReceivedSignal], step: str, wait: Wait | None) -> ReceivedSignal | None:
    """Returns the first signal of a queue that counts for a step, if there is one."""
    return next((signal for signal in queue if signal.counts_for(step, wait)), None)


def is_first_in_line(state: SagaState, step: str, name: str, signal: ReceivedSignal) -> bool:
    """Whether no other step, which began to wait before this one, takes the signal."""
    counting = (each for each in _in_line(state, name) if signal.counts_for(each, state.step(each).forward.wait))
    return next(counting, step) == step


def has_signal(state: SagaState, step: str, name: str, names: Mapping[str, str]) -> bool:
    """Whether a step that waits for a signal, or will, has one already: each signal goes to the first in line.

    `names`: for each step of the definition that waits for a signal, the name of that signal.
    """
    line = _in_line(state, name)
    line += [
        later
        for later, its_name in names.items()
        if its_name == name and state.step(later).forward.progress in (PENDING, RETRYING)
    ]
    return step in _served(state, line, state.signals.get(name, ()))


def _in_line(state: SagaState, name: str) -> list[str]:
    """Returns the steps that wait for a signal, those that began to wait first before the others."""
    waiting = [step for step, its_state in state.steps.items() if _waits_for(its_state.forward, name)]
    return sorted(waiting, key=lambda step: state.step(step).forward.waits_since or _LONG_AGO)


def _served(state: SagaState, line: Sequence[str], queue: Iterable[ReceivedSignal]) -> set[str]:
    served: set[str] = set()
    for signal in queue:
        for step in line:
            progress = state.step(step).forward
            wait = progress.wait if progress.progress is WAITING else None
            if step not in served and signal.counts_for(step, wait):
                served.add(step)
                break
    return served


def _waits_for(progress: StepProgress, name: str) -> bool:
    wait = progress.wait
    return progress.progress is WAITING and wait is not None and wait.kind is WaitKind.SIGNAL and wait.target == name
