"""The signals of a saga: each ends the waiting of one step, or is one of the approvals that it needs.

They are kept in order until a step takes them. A step takes the first signal of its name that counts for it (see
`ReceivedSignal.counts_for`). Of the steps that wait for one signal, the step that began to wait first takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Raw

from .approval import Approval
from .event_parts import Wait, WaitKind
from .events import SignalReceived
from .state import ReceivedSignal, SagaState
from .step_state import PENDING, RETRYING, WAITING, StepProgress

SIGNALS_OPEN_MAX = 1_000
"""The most signals of one saga that no step has taken."""
SIGNAL_BYTES_OPEN_MAX = 8 * 1024 * 1024
"""The most bytes that the payloads and the reasons of these may have together."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

Signals = Mapping[str, tuple[ReceivedSignal, ...]]


class OpenSignals:
    """The signals that no step has taken, while a run of events is folded: only the queues that change are copied."""

    __slots__ = ("_before", "_changed")

    def __init__(self, before: Signals) -> None:
        self._before = before
        self._changed: dict[str, list[ReceivedSignal]] = {}

    def add(self, event: SignalReceived, version: int) -> None:
        """Keep a signal, recorded at this version of the saga, behind those of its name."""
        self._queue(event.name).append(received(event, version))

    def take(self, step: str, wait: Wait, given: Iterable[Approval[Raw]] = ()) -> None:
        """Remove the signal that ends a step's waiting; without one, the waiting ended otherwise."""
        name = wait.target or ""
        if name in self._changed or name in self._before:
            queue = self._queue(name)
            taken = first_for(queue, step, wait, given)
            if taken is not None:
                queue.remove(taken)

    def remove(self, name: str, version: int) -> ReceivedSignal | None:
        """Remove and return the signal of this name that was recorded at this version, if it is open."""
        found = next((signal for signal in self._before.get(name, ()) if signal.version == version), None)
        if found is not None:
            self._queue(name).remove(found)
        return found

    def folded(self) -> Signals:
        """Returns the queues as they are now, without the empty ones."""
        queues = {**self._before, **{name: tuple(queue) for name, queue in self._changed.items()}}
        return {name: queue for name, queue in queues.items() if queue}

    def _queue(self, name: str) -> list[ReceivedSignal]:
        queue = self._changed.get(name)
        if queue is None:
            queue = self._changed[name] = list(self._before.get(name, ()))
        return queue


def received(event: SignalReceived, version: int) -> ReceivedSignal:
    """Returns the signal that an event records, at this version of the saga."""
    return ReceivedSignal(event.payload, event.refused, event.at, event.step, event.actor, event.reason, version)


def approvals_in_words(wait: Wait, given: Sequence[Approval[Raw]]) -> str:
    """Describes how far a wait for approvals has come, such as `1 of 2 approved, by ann`."""
    by = f", by {', '.join(approval.actor for approval in given)}" if given else ""
    return f"{len(given)} of {wait.approvals} approved{by}"


def first_for(
    queue: Iterable[ReceivedSignal], step: str, wait: Wait | None, given: Iterable[Approval[Raw]] = ()
) -> ReceivedSignal | None:
    """Returns the first signal of a queue that counts for a step, if there is one."""
    return next((signal for signal in queue if signal.counts_for(step, wait, given)), None)


def is_first_in_line(state: SagaState, step: str, name: str, signal: ReceivedSignal) -> bool:
    """Whether no other step, which began to wait before this one, takes the signal."""
    counting = (each for each in _in_line(state, name) if _counts_for(signal, each, state.step(each).forward))
    return next(counting, step) == step


def shares(state: SagaState, name: str, expected: Mapping[str, Wait]) -> dict[str, Share]:
    """Returns what each step that waits for a signal, or will, has of the signals that are open.

    `expected`: what each step of the definition that waits for a signal waits for, in the order of the definition.
    """
    found: dict[str, Share] = {}
    for step in _in_line(state, name):
        progress = state.step(step).forward
        if progress.wait is not None:
            found[step] = Share(progress.wait, progress.approvals)
    for step, wait in expected.items():
        if wait.target == name and state.step(step).forward.progress in (PENDING, RETRYING):
            found[step] = Share(wait)
    for signal in state.signals.get(name, ()):
        for step, share in found.items():
            if share.takes(step, signal):
                break
    return found


class Share:
    """What a step has of the open signals: the one that ends its waiting, or the approvals that it needs."""

    __slots__ = ("approvals", "is_refused", "is_settled", "wait")

    def __init__(self, wait: Wait, approvals: tuple[Approval[Raw], ...] = ()) -> None:
        self.wait = wait
        self.approvals = approvals
        """Those that count, recorded as such or not yet."""
        self.is_refused = False
        self.is_settled = self._has_enough
        """Whether a worker ends the waiting when it looks next."""

    def takes(self, step: str, signal: ReceivedSignal) -> bool:
        """Take a signal if it counts for the step, and the step needs one; returns whether it was taken."""
        if self.is_settled or not signal.counts_for(step, self.wait, self.approvals):
            return False
        if not signal.refused:
            self.approvals += (Approval(signal.actor, signal.at, signal.payload, signal.reason),)
        self.is_refused = signal.refused
        self.is_settled = signal.refused or self.wait.approvals is None or self._has_enough
        return True

    @property
    def _has_enough(self) -> bool:
        return self.wait.approvals is not None and len(self.approvals) >= self.wait.approvals


def _in_line(state: SagaState, name: str) -> list[str]:
    """Returns the steps that wait for a signal, those that began to wait first before the others."""
    waiting = [step for step, its_state in state.steps.items() if _waits_for(its_state.forward, name)]
    return sorted(waiting, key=lambda step: state.step(step).forward.waits_since or _LONG_AGO)


def _counts_for(signal: ReceivedSignal, step: str, progress: StepProgress) -> bool:
    return signal.counts_for(step, progress.wait, progress.approvals)


def _waits_for(progress: StepProgress, name: str) -> bool:
    wait = progress.wait
    return progress.progress is WAITING and wait is not None and wait.kind is WaitKind.SIGNAL and wait.target == name
