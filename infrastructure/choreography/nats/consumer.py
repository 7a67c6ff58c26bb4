"""The consumer: hands the messages of a broker to the inbox of one service, through outages of either end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import JetStreamContext

from ....domain.choreography.choreography import is_whole
from ....domain.choreography.service import Service
from ....domain.errors import SagaledgerError
from ...errors import NEEDS_A_PERSON, OutcomeUnknown, Unavailable
from ...ledger.context import HasContext
from ...runtime.failpoints import awaiting_failpoint
from .cloud_events import EventNotice, read, subject_of
from .connection import LedgerStream, broker_errors, connected_stream, stream_of
from .errors import BrokerUnavailable, MessageRejected
from .inbox import NatsInbox, Rejection
from .outage import Outage, work_through_outages

BATCH_MESSAGES_MAX = 500
FETCH_SECONDS_MAX = 0.2
TICK_SECONDS = 0.2
ACK_SECONDS_MAX = 10.0
"""The broker delivers a message again that is not acknowledged within this."""
RETRY_SECONDS = 1.0
PENDING_MESSAGES_MAX = 2_000
"""How many messages the instances of a service may have that are not acknowledged yet."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class NatsConsumer:
    """Consumes the messages of a broker on behalf of one service."""

    def __init__(self, ledger: HasContext, service: Service, url: str) -> None:
        self.service = service
        self._name = f"service {service.name}"
        self._context = ledger.context
        self._url = url
        self._inbox = NatsInbox(self._context, service)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sagaledger-{service.name}")

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until told to stop, through outages. Raises what `work_through_outages` does."""
        try:
            await work_through_outages(self._name, partial(self._consume, stopping), stopping, self._context.outages)
        finally:
            self._thread.shutdown()

    async def _consume(self, stopping: asyncio.Event, outage: Outage) -> None:
        name = await self._in_thread(partial(stream_of, self._context))
        async with connected_stream(self._url, name) as stream:
            subscription = await self._subscribe(stream)
            outage.end()
            ticked_at = self._monotonic()
            while not stopping.is_set():
                messages = await _fetch(stream, subscription)
                if messages:
                    await self._handle(name, messages)
                if self._monotonic() - ticked_at >= TICK_SECONDS:
                    await self._in_thread(self._inbox.tick)
                    ticked_at = self._monotonic()

    async def _subscribe(self, stream: LedgerStream) -> JetStreamContext.PullSubscription:
        """Subscribe to the service's events: its instances share one durable consumer, and so the events."""
        config = ConsumerConfig(
            durable_name=f"inbox_{self.service.name}",
            filter_subjects=sorted(subjects(stream.name, self.service)),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS_MAX,
            max_ack_pending=PENDING_MESSAGES_MAX,
        )
        with broker_errors(f"service {self.service.name} cannot subscribe to {stream.name}"):
            await awaiting_failpoint("nats subscribe", stream.jetstream.add_consumer(stream.name, config))
            return await awaiting_failpoint(
                "nats subscribe", stream.jetstream.pull_subscribe_bind(config.durable_name, stream.name)
            )

    async def _handle(self, stream: str, messages: list[Msg]) -> None:
        """Handle a batch of messages: acknowledge those that were handled, reject those that the log contradicts."""
        notices: dict[EventNotice, list[Msg]] = {}
        for message in messages:
            try:
                notices.setdefault(read(stream, message.headers, message.data), []).append(message)
            except MessageRejected as error:
                await self._reject(message, error)
        try:
            rejections: list[Rejection] = await self._in_thread(partial(self._inbox.receive, list(notices)))
        except NEEDS_A_PERSON:  # the broker delivers them again to another instance, or after the next start
            raise
        except Exception as error:  # noqa: BLE001  # supervised: it is logged, and the broker delivers them again
            self._note_failure(error, len(messages))
            with broker_errors("messages cannot be returned"):
                for message in _all(notices):
                    await awaiting_failpoint("nats nak", message.nak(delay=RETRY_SECONDS))
            return
        self._context.outages.database.end(self._name)
        for rejection in rejections:
            for message in notices.pop(rejection.notice):
                await self._reject(message, rejection.error)
        with broker_errors("messages cannot be acknowledged"):
            for message in _all(notices):
                await awaiting_failpoint("nats ack", message.ack())

    def _note_failure(self, error: Exception, count: int) -> None:
        if isinstance(error, (Unavailable, OutcomeUnknown)):
            self._context.outages.database.note(self._name, error)
            return
        trace = not isinstance(error, SagaledgerError)
        extra = {"service": self.service.name, "error_type": type(error).__name__}
        _log.warning("%s: %d messages are to come again: %s", self._name, count, error, exc_info=trace, extra=extra)

    async def _reject(self, message: Msg, error: MessageRejected) -> None:
        """Log why a message is rejected, and tell the broker not to deliver it again."""
        extra = {"service": self.service.name}
        _log.error("%s rejects a message on %s: %s", self._name, message.subject, error, extra=extra)
        with broker_errors("a message cannot be rejected"):
            await awaiting_failpoint("nats term", message.term())

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _monotonic(self) -> float:
        return self._context.clock.monotonic()


async def _fetch(stream: LedgerStream, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """Returns the next messages, none if there are none for a while. Raises `BrokerUnavailable`."""
    with broker_errors("messages cannot be fetched"):
        try:
            return await awaiting_failpoint("nats fetch", subscription.fetch(BATCH_MESSAGES_MAX, FETCH_SECONDS_MAX))
        except TimeoutError:
            if not stream.client.is_connected:
                raise BrokerUnavailable("the connection to the broker is lost") from None
            return []


def _all(notices: dict[EventNotice, list[Msg]]) -> Iterable[Msg]:
    return (message for same in notices.values() for message in same)


def subjects(stream: str, service: Service) -> Iterable[str]:
    """Returns the subjects of a service's events; those of parts only where the service reacts to single parts."""
    for choreography in service.choreographies:
        for topic in service.topics:
            rule = service.response_to(choreography.name, topic)
            if rule is not None:
                yield subject_of(stream, choreography.name, topic)
                if rule.when is not is_whole:
                    yield subject_of(stream, choreography.name, topic, is_whole=False)
