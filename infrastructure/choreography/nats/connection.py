"""A connection to NATS JetStream, and the one stream that a ledger has there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError

from ...errors import Unavailable
from ...event_store.redaction import redacted
from ...ledger.context import LedgerContext
from ...runtime.failpoints import awaiting_failpoint
from .errors import BrokerUnavailable

DUPLICATE_WINDOW_SECONDS = 120.0
MESSAGE_AGE_SECONDS_MAX = 7 * 86_400.0
"""The broker drops older messages: the log has every event."""
CONNECT_SECONDS_MAX = 3
RECONNECT_SECONDS = 1
CLOSE_SECONDS_MAX = 1.0
"""How long closing may take: a message that was not acknowledged is delivered again."""

_log = logging.getLogger("sagaledger.broker")


class LedgerStream(NamedTuple):
    """A ledger's stream on a broker, over an open connection."""

    name: str
    client: Client
    jetstream: JetStreamContext


def stream_of(context: LedgerContext) -> str:
    """Returns the name of a ledger's stream: the same in every process, and another for every ledger.

    Raises `Unavailable` for an empty ledger, which has nothing that tells it from another.
    """
    first = context.backend.appends(0, limit=1)
    if not first:
        raise Unavailable("the ledger is empty: begin with an order (`sagaledger run`), then there is what to relay")
    return f"sagaledger_{first[0].append_id.hex[:12]}"


@asynccontextmanager
async def connected_stream(url: str, name: str) -> AsyncIterator[LedgerStream]:
    """Connects to a broker, and makes the ledger's stream there if there is none. Raises `BrokerUnavailable`."""
    async with connected(url) as client:
        jetstream = client.jetstream()
        config = StreamConfig(
            name=name,
            subjects=[f"{name}.>"],
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
            max_age=MESSAGE_AGE_SECONDS_MAX,
        )
        with broker_errors(f"stream {name} cannot be declared"):
            try:
                await awaiting_failpoint("nats declare", jetstream.add_stream(config))
            except BadRequestError:  # there is one with other settings
                await awaiting_failpoint("nats declare", jetstream.update_stream(config))
        yield LedgerStream(name, client, jetstream)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """Connects to a broker. Raises `BrokerUnavailable` when it cannot be reached."""
    if not url.startswith(("nats://", "tls://")):
        raise BrokerUnavailable(f"{redacted(url)!r} names no NATS server: use nats://HOST:4222")
    options: dict[str, Any] = {
        "error_cb": _log_error,
        "connect_timeout": CONNECT_SECONDS_MAX,
        "reconnect_time_wait": RECONNECT_SECONDS,
        "max_reconnect_attempts": -1,  # a lost connection is tried again for ever, and so would be the first one
    }
    client = Client()
    try:
        with broker_errors(
            f"the broker at {redacted(url)} cannot be used: start nats-server with JetStream (-js); nothing "
            "is lost, the log has every event"
        ):
            await awaiting_failpoint(
                "nats connect", asyncio.wait_for(client.connect(url, **options), CONNECT_SECONDS_MAX)
            )
        yield client
    finally:
        with suppress(NatsError, OSError):
            await awaiting_failpoint("nats close", asyncio.wait_for(client.close(), CLOSE_SECONDS_MAX))


@contextmanager
def broker_errors(what: str) -> Iterator[None]:
    """Turn what the NATS client raises in the block into `BrokerUnavailable`; `what` says what could not be done."""
    try:
        yield
    except (NatsError, OSError) as error:
        raise BrokerUnavailable(f"{what} ({str(error) or type(error).__name__})") from error


async def check(url: str) -> None:
    """Raise `BrokerUnavailable` unless there is a broker."""
    async with connected(url):
        return


async def _log_error(error: Exception) -> None:
    """Replaces the client's own logging: what an error means for the work is logged where it is met."""
    _log.debug("NATS client: %r", error)
