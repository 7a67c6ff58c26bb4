"""An attendant: keeps one service attending to a broker, through outages of either."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from ....domain.choreography.choreography import is_whole
from ....domain.choreography.service import Service
from ....domain.errors import SagaledgerError
from ...errors import Unavailable
from ...ledger.context import HasContext
from ...runtime.failpoints import awaiting_failpoint
from .cloud_events import EventNotice, read, subject_of
from .connection import broker_at, jetstream, started, stream_of
from .errors import BrokerUnavailable, MessageRejected
from .inbox import NatsInbox
from .outage import Outage, pause

if TYPE_CHECKING:
    from faststream.nats import NatsBroker
    from nats.aio.msg import Msg

BATCH_MESSAGES_MAX = 500
ACK_SECONDS_MAX = 10.0
"""A message that is not acknowledged within this is handed out again."""
RETRY_SECONDS = 1.0
PENDING_MESSAGES_MAX = 2_000
TICK_SECONDS = 0.2
LOOK_TICKS = 5
"""Every so many ticks it looks whether the broker still has its consumer."""

_log = logging.getLogger("sagaledger.broker")


class NatsConsumer:
    """Attends to a broker on behalf of one service."""

    def __init__(self, ledger: HasContext, service: Service, url: str) -> None:
        self.service = service
        self._context = ledger.context
        self._url = url
        self._receiver = NatsInbox(self._context, service)
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue(PENDING_MESSAGES_MAX)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sagaledger-{service.name}")

    async def run(self, stopping: asyncio.Event) -> None:
        """Attend until told to stop; outages are waited out. Raises `BrokerUnavailable` if the first try finds none."""
        outage = Outage(f"service {self.service.name}")
        connected_once = False
        try:
            while not stopping.is_set():
                try:
                    stream = await self._in_thread(partial(stream_of, self._context))
                    async with started(self._subscribed(stream), self._url) as broker:
                        connected_once = True
                        outage.over()
                        await self._attend(broker, stream, stopping)
                except Unavailable as error:
                    if isinstance(error, BrokerUnavailable) and not connected_once:
                        raise
                    await outage.outlast(stopping, error)
        finally:
            self._thread.shutdown()

    def _subscribed(self, stream: str) -> NatsBroker:
        """A broker with a subscriber to the events that the service reacts to."""
        broker = broker_at(self._url)
        from faststream import Context  # noqa: PLC0415  # the extra `broker`, which `broker_at` has found
        from faststream.middlewares import AckPolicy  # noqa: PLC0415
        from faststream.nats.message import NatsMessage  # noqa: PLC0415
        from nats.js.api import ConsumerConfig  # noqa: PLC0415

        config = ConsumerConfig(
            filter_subjects=sorted(subjects(stream, self.service)),
            ack_wait=ACK_SECONDS_MAX,
            max_ack_pending=PENDING_MESSAGES_MAX,
        )
        subscriber = broker.subscriber(
            config=config,
            queue=self.service.name,  # durable under this name; its instances share the events between them
            stream=jetstream(stream),
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
        )

        async def arrived(message: Any) -> None:
            await self._arrived.put(message.raw_message)

        arrived.__annotations__["message"] = Annotated[NatsMessage, Context("message")]
        subscriber(arrived)
        return broker

    async def _handle_arrivals(self, stream: str) -> None:
        """Handle whatever has arrived, in batches that are as large as the service is slow."""
        while True:
            batch = [await self._arrived.get()]
            while len(batch) < BATCH_MESSAGES_MAX and not self._arrived.empty():
                batch.append(self._arrived.get_nowait())
            await self._handle(stream, batch)

    async def _handle(self, stream: str, messages: list[Msg]) -> None:
        """Handle a batch of messages and acknowledge it; a message that is no event of this log is put away, told."""
        notices: dict[EventNotice, list[Msg]] = {}
        for message in messages:
            try:
                notices.setdefault(read(stream, message.headers, message.data), []).append(message)
            except MessageRejected as error:
                await self._reject(message, error)
        try:
            rejections = await self._in_thread(partial(self._receiver.receive, list(notices)))
        except Exception as error:  # noqa: BLE001  # supervised: whatever it is, it is told, and they come again
            trace = not isinstance(error, SagaledgerError)
            _log.warning("service %s: %d messages later: %s", self.service.name, len(messages), error, exc_info=trace)
            for message in (message for same in notices.values() for message in same):
                await awaiting_failpoint("nats nak", message.nak(delay=RETRY_SECONDS))
            return
        for rejection in rejections:
            for message in notices.pop(rejection.notice):
                await self._reject(message, rejection.error)
        for message in (message for same in notices.values() for message in same):
            await awaiting_failpoint("nats ack", message.ack())

    async def _reject(self, message: Msg, error: MessageRejected) -> None:
        _log.error("service %s rejects a message on %s: %s", self.service.name, message.subject, error)
        await awaiting_failpoint("nats term", message.term())

    async def _attend(self, broker: NatsBroker, stream: str, stopping: asyncio.Event) -> None:
        """Handle what arrives, until told to stop; raises if the consumer is gone."""
        handling = asyncio.create_task(self._handle_arrivals(stream))
        try:
            ticks = 0
            while not stopping.is_set():
                await pause(stopping, TICK_SECONDS)
                await self._in_thread(self._receiver.tick)
                ticks += 1
                if ticks % LOOK_TICKS == 0:
                    await self._look(broker, stream)
        finally:
            handling.cancel()
            self._arrived = asyncio.Queue(PENDING_MESSAGES_MAX)  # what it held comes again

    async def _look(self, broker: NatsBroker, stream: str) -> None:
        from nats.errors import Error as NatsError  # noqa: PLC0415  # the extra `broker`
        from nats.js.errors import Error as JetStreamError  # noqa: PLC0415

        try:
            await awaiting_failpoint(
                "nats consumer", broker.connection.jetstream().consumer_info(stream, self.service.name)
            )
        except (NatsError, JetStreamError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"the broker does not know the consumer any more ({error})") from error

    async def _in_thread(self, call: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


async def _undecoded(_: Any) -> None:
    """The messages stay bytes: what is no JSON must not fail before it can be told."""


def subjects(stream: str, service: Service) -> Iterable[str]:
    """The subjects of the events that a service reacts to: of what is told in parts, only the whole if that will do."""
    for choreography in service.choreographies:
        for topic in service.topics:
            response = service.response_to(choreography.name, topic)
            if response is not None:
                yield subject_of(stream, choreography.name, topic)
                if response.when is not is_whole:
                    yield subject_of(stream, choreography.name, topic, is_whole=False)
