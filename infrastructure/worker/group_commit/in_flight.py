"""A batch of transitions on its way to the log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import uuid4

from ...errors import OutcomeUnknown, Unavailable
from ...event_store.append_call import AppendCall, PendingAppend, Receipt
from ...event_store.event_log import EventLog
from ...event_store.work_queue import FencingToken
from .transition import Transition


class InFlightBatch:
    """An append call that carries the transitions of many sagas.

    Raises `SupersededWorker`. That the log cannot be reached is raised by `receipt`.
    """

    def __init__(
        self, log: EventLog, token: FencingToken, transitions: Sequence[Transition], stream_ids: Collection[str]
    ) -> None:
        self._log = log
        self.transitions = transitions
        self.saga_ids = {transition.saga.saga_id for transition in transitions}
        self.stream_ids = stream_ids
        """The participants' streams that it writes to."""
        self._call = AppendCall(uuid4(), [transition.append() for transition in transitions], token)
        self._sending: PendingAppend | None = None
        with suppress(Unavailable, OutcomeUnknown):
            self._sending = log.send(self._call)

    @property
    def pending(self) -> int | None:
        """The file descriptor that becomes readable when the log answers; None if it has answered, or cannot."""
        return None if self._sending is None else self._sending.pending

    def receipt(self) -> Receipt:
        """Wait for the answer. Called again, it appends the same call again, which has no second effect.

        Raises `SupersededWorker`, `Unavailable` and `OutcomeUnknown`.
        """
        sending, self._sending = self._sending, None
        return self._log.append(self._call) if sending is None else sending.receipt()

    def abandon(self) -> None:
        """Wait for no answer: the batch may be written or not."""
        if self._sending is not None:
            self._sending.abandon()
