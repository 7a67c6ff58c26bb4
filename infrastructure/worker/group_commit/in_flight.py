"""A batch of transitions on its way to the log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import UUID

from ...errors import OutcomeUnknown, Unavailable
from ...event_store.append_call import AppendCall, PendingAppend, Receipt
from ...event_store.event_log import EventLog
from ...event_store.work_queue import FencingToken
from .transition import Transition


class InFlightBatch:
    """An append call of many sagas' transitions.

    Raises `SupersededWorker`; that the log could not be reached is said when the receipt is asked for.
    """

    def __init__(
        self,
        log: EventLog,
        append_id: UUID,
        epoch: FencingToken,
        batch: Sequence[Transition],
        stream_ids: Collection[str],
    ) -> None:
        self._log = log
        self.batch = batch
        self.saga_ids = {transition.execution.saga_id for transition in batch}
        self.stream_ids = stream_ids
        """The participants' streams that it writes to."""
        self._call = AppendCall(append_id, [transition.append() for transition in batch], epoch)
        self._sending: PendingAppend | None = None
        with suppress(Unavailable, OutcomeUnknown):
            self._sending = log.send(self._call)

    @property
    def pending(self) -> int | None:
        """What becomes readable when the log answers; None when that is so, or the log answers nobody."""
        return None if self._sending is None else self._sending.pending

    def receipt(self) -> Receipt:
        """What became of it; asked for again, the same call is appended again, which is harmless.

        Raises `SupersededWorker`, `Unavailable` and `OutcomeUnknown`.
        """
        sending, self._sending = self._sending, None
        return self._log.append(self._call) if sending is None else sending.receipt()

    def abandon(self) -> None:
        """Ask for no receipt; the batch may be written or not."""
        if self._sending is not None:
            self._sending.abandon()
