"""A connection to NATS JetStream through FastStream, and the one stream that a ledger has there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ...errors import Unavailable
from ...ledger.context import LedgerContext
from ...runtime.failpoints import awaiting_failpoint
from .errors import BrokerUnavailable

if TYPE_CHECKING:
    from faststream.nats import JStream, NatsBroker

DUPLICATE_WINDOW_SECONDS = 120.0
MESSAGE_AGE_SECONDS_MAX = 7 * 86_400.0
"""The broker may forget after this: the log has everything."""
CONNECT_SECONDS_MAX = 3
GRACE_SECONDS = 1.0
"""How long a farewell may take: what was not acknowledged comes again."""


def stream_of(context: LedgerContext) -> str:
    """The name of a ledger's stream: the same for every process, another for every ledger.

    Raises `Unavailable` for an empty ledger, which has nothing by which to tell it from another.
    """
    first = context.backend.appends(0, limit=1)
    if not first:
        raise Unavailable("the ledger is empty: begin with an order (`sagaledger run`), then there is what to relay")
    return f"sagaledger_{first[0].append_id.hex[:12]}"


def jetstream(name: str) -> JStream:
    """The stream, declared: made when it is not there."""
    from faststream.nats import JStream  # noqa: PLC0415  # the extra `broker`, which other uses need not install

    return JStream(
        name,
        subjects=[f"{name}.>"],
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        max_age=MESSAGE_AGE_SECONDS_MAX,
    )


def broker_at(url: str) -> NatsBroker:
    """A broker, not connected yet. Raises `BrokerUnavailable` when the extra is not installed or the URL is none."""
    try:
        from faststream.nats import NatsBroker  # noqa: PLC0415  # as above
    except ImportError as error:
        raise BrokerUnavailable("a broker needs the extra: pip install 'sagaledger[broker]'") from error
    if not url.startswith(("nats://", "tls://")):
        raise BrokerUnavailable(f"{url!r} names no NATS server: use nats://HOST:4222")
    return NatsBroker(
        url,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=CONNECT_SECONDS_MAX,
        graceful_timeout=GRACE_SECONDS,
        logger=None,
    )


@asynccontextmanager
async def started(broker: NatsBroker, url: str) -> AsyncIterator[NatsBroker]:
    """The broker while it is connected. Raises `BrokerUnavailable` when it cannot be reached."""
    from nats.errors import Error as NatsError  # noqa: PLC0415  # as above
    from nats.js.errors import Error as JetStreamError  # noqa: PLC0415

    try:
        await awaiting_failpoint(
            "nats connect", asyncio.wait_for(broker.start(), CONNECT_SECONDS_MAX)
        )  # by itself it would try for ever
    except (NatsError, JetStreamError, OSError, TimeoutError) as error:
        with suppress(NatsError, OSError, TimeoutError):  # what is not connected needs no farewell
            await awaiting_failpoint("nats farewell", asyncio.wait_for(broker.stop(), GRACE_SECONDS))
        raise BrokerUnavailable(
            f"the broker at {_address(url)} cannot be used ({type(error).__name__}): start nats-server with "
            "JetStream (-js); nothing is lost, the log has every event"
        ) from error
    try:
        yield broker
    finally:
        await awaiting_failpoint("nats farewell", broker.stop())


async def check(url: str) -> None:
    """Raise `BrokerUnavailable` unless there is a broker."""
    async with started(broker_at(url), url):
        return


def _address(url: str) -> str:
    """The URL without its password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
