"""A batch of transitions on its way to the log."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import uuid4

from ...errors import NotALedger, OutcomeUnknown, PositionConflict, SupersededWorker, Unavailable
from ...event_store.append_call import AppendCall, AppendOutcome, PendingAppend, Receipt
from ...event_store.event_log import EventLog
from ...event_store.work_queue import FencingToken
from .transition import Transition

log = logging.getLogger(__name__)

AWAY = (Unavailable, OutcomeUnknown)
"""Errors after which the same call is sent again."""
NOT_ABOUT_VALUES = (SupersededWorker, PositionConflict, NotALedger)
"""Errors that any append would meet."""


class Rejected(NamedTuple):
    """The log wrote nothing of a transition, and no conflict is the reason."""

    error: Exception | None
    """Why the database rejects its values; None if it only rests on a transition that was rejected."""


TransitionOutcome = AppendOutcome | Rejected


class InFlightBatch:
    """An append call that carries the transitions of many sagas.

    When the database rejects a value, it rejects the whole call. Then the two halves are appended one after the other,
    and so on, until the transitions that cannot be written are found; the others are written.
    """

    def __init__(
        self, log: EventLog, token: FencingToken, transitions: Sequence[Transition], stream_ids: Collection[str]
    ) -> None:
        """Begin to append. Raises `SupersededWorker` and `NotALedger`."""
        self._log = log
        self._token = token
        self.transitions = transitions
        self.saga_ids = {transition.saga.saga_id for transition in transitions}
        self.stream_ids = stream_ids
        """The participants' streams that it writes to."""
        self._parts = deque([_Part(log, token, transitions)])
        """What is not answered yet; only the first part can be under way."""
        self._outcomes: dict[str, TransitionOutcome] = {}
        self._rejected_streams: set[str] = set()
        """The participants' streams that rejected transitions would have written to."""
        self._parts[0].send()

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers; None if it has answered, or cannot."""
        return self._parts[0].pending if self._parts else None

    def outcomes(self) -> list[tuple[Transition, TransitionOutcome]]:
        """Wait for the answer, and return the outcome of each transition.

        Raises `Unavailable` and `OutcomeUnknown`: called again, it goes on where it was, and appends nothing twice.
        Raises `SupersededWorker` and `NotALedger`.
        """
        while self._parts:
            part = self._parts[0]
            try:
                receipt = part.receipt()
            except (*AWAY, *NOT_ABOUT_VALUES):
                raise
            except Exception as error:  # noqa: BLE001 -- whatever it is, it hits the transition that causes it
                self._parts.popleft()
                self._divide(part.transitions, error)
            else:
                self._parts.popleft()
                outcomes = zip(part.transitions, receipt.outcomes, strict=True)
                self._outcomes.update((transition.saga.saga_id, outcome) for transition, outcome in outcomes)
        return [(transition, self._outcomes[transition.saga.saga_id]) for transition in self.transitions]

    def abandon(self) -> None:
        """Wait for no answer: the batch may be written or not."""
        if self._parts:
            self._parts[0].abandon()

    def _divide(self, transitions: Sequence[Transition], error: Exception) -> None:
        if len(transitions) == 1:
            self._reject(transitions[0], error)
        else:
            log.warning("the log rejects %d transitions, which are divided: %s", len(transitions), error)
            middle = len(transitions) // 2
            halves = (_Part(self._log, self._token, half) for half in (transitions[middle:], transitions[:middle]))
            self._parts.extendleft(halves)
        self._leave_out_what_rests_on_rejected()

    def _reject(self, transition: Transition, error: Exception | None) -> None:
        self._outcomes[transition.saga.saga_id] = Rejected(error)
        self._rejected_streams.update(transition.draft.overlay)

    def _leave_out_what_rests_on_rejected(self) -> None:
        """Do not append what was decided on events that will not exist.

        The log would not notice where another process writes at the same version.
        """
        if not self._rejected_streams:
            return
        parts = list(self._parts)
        self._parts.clear()
        for part in parts:
            left: list[Transition] = []
            for transition in part.transitions:
                if self._rejected_streams.isdisjoint(transition.draft.overlay):
                    left.append(transition)
                else:
                    self._reject(transition, None)
            if left:
                self._parts.append(_Part(self._log, self._token, left))


class _Part:
    """Some transitions of a batch, in one append call."""

    def __init__(self, log: EventLog, token: FencingToken, transitions: Sequence[Transition]) -> None:
        self.transitions = transitions
        self._log = log
        self._call = AppendCall(uuid4(), [transition.append() for transition in transitions], token)
        self._sending: PendingAppend | None = None
        self._error: Exception | None = None

    @property
    def pending(self) -> int | None:
        return None if self._sending is None else self._sending.pending

    def send(self) -> None:
        """Begin to append. Raises what any append would meet; any other error is raised by `receipt`."""
        try:
            self._sending = self._log.send(self._call)
        except AWAY:
            pass
        except NOT_ABOUT_VALUES:
            raise
        except Exception as error:  # noqa: BLE001 -- raised by `receipt`
            self._error = error

    def receipt(self) -> Receipt:
        """Wait for the answer. Called again, it appends the same call again, which has no second effect."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        sending, self._sending = self._sending, None
        return self._log.append(self._call) if sending is None else sending.receipt()

    def abandon(self) -> None:
        if self._sending is not None:
            self._sending.abandon()
