"""The outbox relay: the log's choreographed events, in order, to the broker.

The log is the outbox. The relay's position moves on when the broker has acknowledged; what is sent twice bears the
same message id, and the broker drops it. When the broker has lost its stream, the relay begins again from the first
event that some service has yet to handle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from ..choreography.desk import consumer_of
from ..errors import PositionConflict, Unavailable
from ..ledger import Ledger
from ..log.port import Advance, AppendCall, StoredRow
from .cloud_event import headers_of, subject_of
from .connection import broker_at, jetstream, started, stream_of
from .errors import BrokerUnavailable
from .outage import longer, rest

if TYPE_CHECKING:
    from faststream.nats import NatsBroker

BATCH_EVENTS_MAX = 500
IDLE_SECONDS = 0.2
PUBLISH_SECONDS_MAX = 5.0

_log = logging.getLogger("sagaledger.broker")


class Relay:
    """Sends the events of choreographed processes to a broker. One at work is enough; two do no harm."""

    def __init__(self, ledger: Ledger, url: str) -> None:
        self._ledger = ledger
        self._backend = ledger.backend
        self._url = url
        self._seen_sequence = 0
        """How long the broker's stream has been; one that is shorter has been lost."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until told to stop; outages are waited out. Raises `BrokerUnavailable` if the first try finds none."""
        backoff_seconds = 0.0
        connected_once = False
        while not stopping.is_set():
            try:
                stream = await asyncio.to_thread(stream_of, self._ledger)
                broker = broker_at(self._url)
                broker.publisher(subject_of(stream, "any", "any"), stream=jetstream(stream))  # declares the stream
                async with started(broker, self._url):
                    connected_once, backoff_seconds = True, 0.0
                    await self._relay(broker, stream, stopping)
            except BrokerUnavailable:
                if not connected_once:
                    raise
                backoff_seconds = longer(backoff_seconds)
                _log.warning("the broker is away: relaying goes on in %.1f s", backoff_seconds)
                await rest(stopping, backoff_seconds)
            except Unavailable as error:
                backoff_seconds = longer(backoff_seconds)
                _log.warning("relaying goes on in %.1f s: %s", backoff_seconds, error)
                await rest(stopping, backoff_seconds)

    async def _relay(self, broker: NatsBroker, stream: str, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            position = await self._position(broker, stream)
            head = (await asyncio.to_thread(self._backend.head)).position
            if head <= position:
                await asyncio.to_thread(self._backend.wait_beyond, head, IDLE_SECONDS)
                continue
            rows = await asyncio.to_thread(self._read, position, head)
            await self._publish(broker, stream, [row for row in rows if self._is_relayed(row)])
            upto = rows[-1].position if rows else head
            await asyncio.to_thread(self._advance, stream, position, upto)

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
            info = await broker.connection.jetstream().stream_info(stream)
        except (NatsError, JetStreamError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"stream {stream} cannot be asked for: {error}") from error
        return int(info.state.last_seq)

    async def _publish(self, broker: NatsBroker, stream: str, rows: Sequence[StoredRow]) -> None:
        from nats.errors import Error as NatsError  # noqa: PLC0415  # the extra `broker`
        from nats.js.errors import Error as JetStreamError  # noqa: PLC0415

        sending = [
            broker.publish(
                row.state,
                subject_of(stream, (row.correlation_id or "").partition("-")[0], row.topic),
                headers=headers_of(stream, row),
                correlation_id=row.correlation_id,
                stream=stream,
                timeout=PUBLISH_SECONDS_MAX,
            )
            for row in rows
        ]
        results = await asyncio.gather(*sending, return_exceptions=True)
        for result in results:
            if isinstance(result, NatsError | JetStreamError | OSError | TimeoutError):
                raise BrokerUnavailable(f"not every event was taken: {result}") from result
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                self._seen_sequence = max(self._seen_sequence, result.seq)

    def _read(self, position: int, head: int) -> list[StoredRow]:
        return self._backend.read(position, limit=BATCH_EVENTS_MAX, upto=head)

    def _is_relayed(self, row: StoredRow) -> bool:
        return row.correlation_id is not None and self._ledger.app.flow_of(row.correlation_id) is not None

    def _first_unhandled(self) -> int:
        """The position up to which every service has handled everything."""
        services = self._ledger.app.services
        return min((self._backend.consumer_position(consumer_of(name)) for name in services), default=0)

    def _advance(self, stream: str, position: int, upto: int) -> None:
        try:
            self._backend.append(AppendCall(uuid4(), [], advances=[Advance(_consumer_of(stream), position, upto)]))
        except PositionConflict:
            _log.info("another relay moved on; this one follows it")


def _consumer_of(stream: str) -> str:
    return f"relay:{stream}"
