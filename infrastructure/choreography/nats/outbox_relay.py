"""The outbox relay: sends the log's choreographed events to the broker, in order. The log is the outbox.

The relay's checkpoint moves only when the broker has acknowledged. So a checkpoint proves that the broker's stream had
something, and an empty stream that it was lost; then the relay begins again from the first event that some service has
yet to handle. An event that is sent twice has the same message id, and the broker drops it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ....domain.choreography.choreography import is_whole
from ...errors import PositionConflict
from ...event_store.append_call import CheckpointUpdate
from ...event_store.codec import UnreadableEvent
from ...event_store.event_row import StoredRow
from ...ledger.context import HasContext
from ...ledger.transact import call_of
from ...runtime.failpoints import awaiting_failpoint
from ..delivery import consumer_of
from ..process_log import traceparent_of
from .cloud_events import headers_of, subject_of
from .connection import LedgerStream, broker_errors, connected_stream, stream_of
from .outage import Outage, work_through_outages

BATCH_EVENTS_MAX = 500
IDLE_SECONDS_MAX = 0.2
PUBLISH_SECONDS_MAX = 5.0
HEADER_BYTES_MAX = 4_096

_log = logging.getLogger(__name__)


class OutgoingMessage(NamedTuple):
    """An event of the log, and the subject that it is sent to."""

    row: StoredRow
    subject: str


class OutboxRelay:
    """Sends the events of choreographed processes to a broker. One relay is enough; two do no harm."""

    def __init__(self, ledger: HasContext, url: str) -> None:
        self._context = ledger.context
        self._backend = self._context.backend
        self._url = url
        self._nothing_to_send = (0, 0)
        """A checkpoint, and the position up to which the log has nothing to send beyond it."""
        self._last_sequence = 0
        """The last sequence number of the broker's stream; a stream that is shorter has been lost."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until told to stop, through outages. Raises what `work_through_outages` does."""
        await work_through_outages("the relay", partial(self._relay, stopping), stopping, self._context.outages)

    async def _relay(self, stopping: asyncio.Event, outage: Outage) -> None:
        name = await asyncio.to_thread(stream_of, self._context)
        async with connected_stream(self._url, name) as stream:
            outage.end()
            while not stopping.is_set():
                await self._relay_batch(stream)

    async def _relay_batch(self, stream: LedgerStream) -> None:
        """Send the next events, or wait a while for some."""
        position = await self._position(stream)
        checkpoint, nothing_upto = self._nothing_to_send
        after = nothing_upto if checkpoint == position else position
        messages, upto = await asyncio.to_thread(self._messages, stream.name, after)
        if messages:
            await self._publish(stream, messages)
            await asyncio.to_thread(self._move_checkpoint, stream.name, position, upto)
        elif upto > after:
            self._nothing_to_send = position, upto
        else:
            await asyncio.to_thread(self._backend.wait_beyond, upto, IDLE_SECONDS_MAX)

    async def _position(self, stream: LedgerStream) -> int:
        """Returns the position after which to send; moves the checkpoint back if the broker has lost its stream."""
        with broker_errors(f"stream {stream.name} cannot be asked for"):
            info = await awaiting_failpoint("nats stream", stream.jetstream.stream_info(stream.name))
        sequence = info.state.last_seq
        position = await asyncio.to_thread(self._backend.consumer_position, _checkpoint_of(stream.name))
        lost = sequence < self._last_sequence or (sequence == 0 and position > 0)
        self._last_sequence = sequence
        if not lost:
            return position
        start = await asyncio.to_thread(self._first_unhandled)
        if start < position:
            _log.warning("the broker lost its stream: events are sent again from position %d", start + 1)
            await asyncio.to_thread(self._move_checkpoint, stream.name, position, start)
        return min(start, position)

    async def _publish(self, stream: LedgerStream, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages, and wait until the broker has acknowledged each. Raises `BrokerUnavailable`."""
        results = await asyncio.gather(*(self._send(stream, message) for message in messages), return_exceptions=True)
        with broker_errors("the broker did not acknowledge every event"):
            for result in results:
                if isinstance(result, BaseException):
                    raise result
                self._last_sequence = max(self._last_sequence, result)

    async def _send(self, stream: LedgerStream, message: OutgoingMessage) -> int:
        """Send an event, or a reference to it if it is too large for the broker; returns its sequence number there."""
        traceparent, observer = traceparent_of(message.row), self._context.observer
        if observer is None:
            return await self._send_in(stream, message, traceparent)
        attributes: dict[str, str | int] = {"messaging.system": "nats", "saga.position": message.row.position}
        with observer.span(f"send {message.row.topic}", "producer", attributes, parent=traceparent) as context:
            return await self._send_in(stream, message, context)

    async def _send_in(self, stream: LedgerStream, message: OutgoingMessage, traceparent: str | None) -> int:
        row, subject = message
        by_reference = len(row.state) > stream.client.max_payload - HEADER_BYTES_MAX
        ack = await awaiting_failpoint(
            "nats publish",
            stream.jetstream.publish(
                subject,
                b"" if by_reference else row.state,
                timeout=PUBLISH_SECONDS_MAX,
                stream=stream.name,
                headers=headers_of(stream.name, row, by_reference=by_reference, traceparent=traceparent),
            ),
        )
        return ack.seq

    def _messages(self, stream: str, after: int) -> tuple[list[OutgoingMessage], int]:
        """Returns what is to be sent of the next events, and the position up to which that is everything."""
        head = self._backend.head().position
        if head <= after:
            return [], after
        rows = self._backend.read(after, limit=BATCH_EVENTS_MAX, upto=head)
        messages = [
            OutgoingMessage(row, subject) for row in rows if (subject := self._subject(stream, row)) is not None
        ]
        return messages, rows[-1].position if rows else head

    def _subject(self, stream: str, row: StoredRow) -> str | None:
        """Returns the subject of an event, None if it is of no choreographed process. An unreadable one is no part."""
        choreography = None if row.correlation_id is None else self._context.app.choreography_of(row.correlation_id)
        if choreography is None:
            return None
        try:
            whole = is_whole(self._context.codec.decode(row).event)
        except UnreadableEvent:
            whole = True
        return subject_of(stream, choreography.name, row.topic, is_whole=whole)

    def _first_unhandled(self) -> int:
        """Returns the position up to which every service has handled every event."""
        services = self._context.app.services
        return min((self._backend.consumer_position(consumer_of(name)) for name in services), default=0)

    def _move_checkpoint(self, stream: str, position: int, upto: int) -> None:
        try:
            self._backend.append(call_of([], [CheckpointUpdate(_checkpoint_of(stream), position, upto)]))
        except PositionConflict:
            _log.info("another relay moved the checkpoint: this one goes on from there")


def _checkpoint_of(stream: str) -> str:
    return f"relay:{stream}"
