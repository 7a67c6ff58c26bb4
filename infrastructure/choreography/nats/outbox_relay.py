"""The outbox relay: the log's choreographed events, in order, to the broker.

The log is the outbox. The relay's position moves on when the broker has acknowledged, and only then: so a position on
record means that the broker's stream had something, and an empty stream that it was lost. The relay then begins again
from the first event that some service has yet to handle. What is sent twice bears the same message id, and the broker
drops it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from ....domain.choreography.choreography import is_whole
from ...errors import PositionConflict, Unavailable
from ...event_store.append_call import AppendCall, CheckpointUpdate
from ...event_store.codec import UnreadableEvent
from ...event_store.event_row import StoredRow
from ...ledger.context import HasContext
from ...runtime.failpoints import awaiting_failpoint
from ..delivery import consumer_of
from .cloud_events import headers_of, subject_of
from .connection import broker_at, jetstream, started, stream_of
from .errors import BrokerUnavailable
from .outage import Outage

if TYPE_CHECKING:
    from faststream.nats import NatsBroker

BATCH_EVENTS_MAX = 500
IDLE_SECONDS = 0.2
PUBLISH_SECONDS_MAX = 5.0
HEADER_BYTES_MAX = 4_096

OutgoingMessage: TypeAlias = tuple[StoredRow, str]
"""An event and its subject."""

_log = logging.getLogger("sagaledger.broker")


class OutboxRelay:
    """Sends the events of choreographed processes to a broker. One at work is enough; two do no harm."""

    def __init__(self, ledger: HasContext, url: str) -> None:
        self._context = ledger.context
        self._backend = self._context.backend
        self._url = url
        self._nothing_between = (0, 0)
        """A position on record, and how far beyond it there is nothing to send."""
        self._seen_sequence = 0
        """How long the broker's stream has been; one that is shorter has been lost."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until told to stop; outages are waited out. Raises `BrokerUnavailable` if the first try finds none."""
        outage = Outage("the relay")
        connected_once = False
        while not stopping.is_set():
            try:
                stream = await asyncio.to_thread(stream_of, self._context)
                broker = broker_at(self._url)
                broker.publisher(subject_of(stream, "any", "any"), stream=jetstream(stream))  # declares the stream
                async with started(broker, self._url):
                    connected_once = True
                    outage.over()
                    await self._relay(broker, stream, stopping)
            except Unavailable as error:
                if isinstance(error, BrokerUnavailable) and not connected_once:
                    raise
                await outage.outlast(stopping, error)

    async def _relay(self, broker: NatsBroker, stream: str, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            position = await self._position(broker, stream)
            begin, end = self._nothing_between
            after = end if begin == position else position
            messages, upto = await asyncio.to_thread(self._messages, stream, after)
            if messages:
                await self._publish(broker, stream, messages)
                await asyncio.to_thread(self._advance, stream, position, upto)
            elif upto > after:
                self._nothing_between = position, upto
            else:
                await asyncio.to_thread(self._backend.wait_beyond, upto, IDLE_SECONDS)

    async def _position(self, broker: NatsBroker, stream: str) -> int:
        """From where to go on: from the first unhandled event, if the broker has lost its stream."""
        sequence = await self._sequence(broker, stream)
        position = await asyncio.to_thread(self._backend.consumer_position, _consumer_of(stream))
        lost = sequence < self._seen_sequence or (sequence == 0 and position > 0)
        self._seen_sequence = sequence
        if not lost:
            return position
        start = await asyncio.to_thread(self._first_unhandled)
        if start < position:
            _log.warning("the broker lost its stream: events are sent again from position %d", start + 1)
            await asyncio.to_thread(self._advance, stream, position, start)
        return min(start, position)

    async def _sequence(self, broker: NatsBroker, stream: str) -> int:
        from nats.errors import Error as NatsError  # noqa: PLC0415  # the extra `broker`
        from nats.js.errors import Error as JetStreamError  # noqa: PLC0415

        try:
            info = await awaiting_failpoint("nats stream", broker.connection.jetstream().stream_info(stream))
        except (NatsError, JetStreamError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"stream {stream} cannot be asked for: {error}") from error
        return int(info.state.last_seq)

    async def _publish(self, broker: NatsBroker, stream: str, messages: Sequence[OutgoingMessage]) -> None:
        from nats.errors import Error as NatsError  # noqa: PLC0415  # the extra `broker`
        from nats.js.errors import Error as JetStreamError  # noqa: PLC0415

        data_bytes_max = broker.connection.max_payload - HEADER_BYTES_MAX
        sending = [
            awaiting_failpoint(
                "nats publish",
                broker.publish(
                    b"" if len(row.state) > data_bytes_max else row.state,
                    subject,
                    headers=headers_of(stream, row, by_reference=len(row.state) > data_bytes_max),
                    correlation_id=row.correlation_id,
                    stream=stream,
                    timeout=PUBLISH_SECONDS_MAX,
                ),
            )
            for row, subject in messages
        ]
        results = await asyncio.gather(*sending, return_exceptions=True)
        for result in results:
            if isinstance(result, NatsError | JetStreamError | OSError | TimeoutError):
                raise BrokerUnavailable(f"not every event was taken: {result}") from result
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                self._seen_sequence = max(self._seen_sequence, result.seq)

    def _messages(self, stream: str, after: int) -> tuple[list[OutgoingMessage], int]:
        """What to send of the next events, and up to which position that is."""
        head = self._backend.head().position
        if head <= after:
            return [], after
        rows = self._backend.read(after, limit=BATCH_EVENTS_MAX, upto=head)
        messages = [(row, subject) for row in rows if (subject := self._subject(stream, row)) is not None]
        return messages, rows[-1].position if rows else head

    def _subject(self, stream: str, row: StoredRow) -> str | None:
        """Where an event goes; None for one of no choreographed process. One that cannot be read counts as whole."""
        choreography = None if row.correlation_id is None else self._context.app.choreography_of(row.correlation_id)
        if choreography is None:
            return None
        try:
            whole = is_whole(self._context.codec.decode(row).event)
        except UnreadableEvent:
            whole = True
        return subject_of(stream, choreography.name, row.topic, is_whole=whole)

    def _first_unhandled(self) -> int:
        """The position up to which every service has handled everything."""
        services = self._context.app.services
        return min((self._backend.consumer_position(consumer_of(name)) for name in services), default=0)

    def _advance(self, stream: str, position: int, upto: int) -> None:
        try:
            self._backend.append(
                AppendCall(uuid4(), [], checkpoints=[CheckpointUpdate(_consumer_of(stream), position, upto)])
            )
        except PositionConflict:
            _log.info("another relay moved on; this one follows it")


def _consumer_of(stream: str) -> str:
    return f"relay:{stream}"
