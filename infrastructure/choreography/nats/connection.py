"""A connection to NATS JetStream, and the one stream that a ledger has there."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import StaleConnectionError
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError

from ...ledger.context import LedgerContext
from ...runtime.failpoints import awaiting_failpoint
from .address import address_of
from .errors import BrokerUnavailable, NothingToRelay

DUPLICATE_WINDOW_SECONDS = 120.0
MESSAGE_AGE_SECONDS_MAX = 7 * 86_400.0
"""The broker drops older messages: the log has every event."""
CONNECT_SECONDS_MAX = 3
RECONNECT_SECONDS = 1
CLOSE_SECONDS_MAX = 1.0
"""How long closing may take: a message that was not acknowledged is delivered again."""

_log = logging.getLogger(__name__)


class LedgerStream(NamedTuple):
    """A ledger's stream on a broker, over an open connection."""

    name: str
    client: Client
    jetstream: JetStreamContext


def stream_of(context: LedgerContext) -> str:
    """Returns the name of a ledger's stream: the same in every process, and another for every ledger.

    Raises `NothingToRelay` for an empty ledger, which has nothing that tells it from another.
    """
    first = context.backend.appends(0, limit=1)
    if not first:
        raise NothingToRelay("the ledger is empty: begin with an order (`sagaledger run`), then there is what to relay")
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
    """Connects to a broker. Raises `BrokerUnavailable` when it cannot be reached, or refuses the connection."""
    address = address_of(url)
    client = BrokerClient(over_tls=address.over_tls)
    try:
        try:
            await awaiting_failpoint(
                "nats connect",
                asyncio.wait_for(
                    client.connect(
                        address.server,
                        error_cb=client.note,
                        connect_timeout=CONNECT_SECONDS_MAX,
                        reconnect_time_wait=RECONNECT_SECONDS,
                        max_reconnect_attempts=-1,  # for a lost connection; the first one is tried once: see `note`
                        **address.options,
                    ),
                    CONNECT_SECONDS_MAX,
                ),
            )
        except (NatsError, OSError, RuntimeError) as error:
            _require_broker_error(error)
            raise BrokerUnavailable(_refusal(address.shown, error, client.demands)) from error
        client.was_connected = True
        yield client
    finally:
        with suppress(BrokerUnavailable), broker_errors("the connection cannot be closed"):
            await awaiting_failpoint("nats close", asyncio.wait_for(client.close(), CLOSE_SECONDS_MAX))


class TlsNotOffered(NatsError):
    """The server has no TLS, and the URL demands it."""


class Demands(NamedTuple):
    """What a server said in its first message that it wants of a client."""

    certificate: bool = False
    identity: bool = False


class BrokerClient(Client):
    """A NATS client that sends nothing in clear if it is to use TLS, and raises what prevents its first connection.

    nats-py takes `tls://` for `nats://`: it uses TLS only where the server's first message requires it. That message
    comes in clear, and any server can have sent it.
    """

    def __init__(self, *, over_tls: bool) -> None:
        super().__init__()
        self._over_tls = over_tls
        self.was_connected = False
        self.demands = Demands()

    async def note(self, error: Exception) -> None:
        """Raise an error if there was no connection yet: the client would try again for ever, and not tell of it.

        Otherwise this replaces the client's own logging: what an error means for the work is logged where it is met.
        """
        if not self.was_connected:
            raise error
        _log.debug("NATS client: %r", error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Demand TLS of a server before anything is sent to it, and note what it demands."""
        if initial_connection:
            self.demands = Demands(bool(info.get("tls_verify")), bool(info.get("auth_required")))
        if self._over_tls and initial_connection:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise TlsNotOffered
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)


def _refusal(broker: str, error: Exception, demands: Demands) -> str:
    """Returns why a broker cannot be used, and what to do about it.

    A server says why it ends a connection, but the connection may end before that is read: then it is likely to be what
    the server demanded.
    """
    why = str(error) or type(error).__name__
    ended = isinstance(error, (ConnectionResetError, BrokenPipeError, StaleConnectionError))
    if isinstance(error, TlsNotOffered):
        return (
            f"the broker at {broker} offers no TLS, and nothing was sent to it in clear: give it a certificate, or use "
            "nats:// where the network is trusted"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker at {broker} is not trusted: {error.verify_message}; name the authority that signed its "
            "certificate, ?tlsca=FILE"
        )
    if isinstance(error, ssl.SSLError) or (ended and demands.certificate):
        return (
            f"the broker at {broker} allows no TLS connection ({why}): if it asks for a client certificate, name one "
            "that it trusts, ?tlscert=FILE&tlskey=FILE"
        )
    if "authoriz" in why.lower() or "authentic" in why.lower() or (ended and demands.identity):
        return (
            f"the broker at {broker} refuses the credentials, or wants some ({why}): correct the user and password, "
            "the token, creds=FILE or nkey=FILE of its URL"
        )
    return (
        f"the broker at {broker} cannot be used: start nats-server with JetStream (-js); nothing is lost, the log has "
        f"every event ({why})"
    )


@contextmanager
def broker_errors(what: str) -> Iterator[None]:
    """Turn what the NATS client raises in the block into `BrokerUnavailable`; `what` says what could not be done."""
    try:
        yield
    except (NatsError, OSError, RuntimeError) as error:
        _require_broker_error(error)
        raise BrokerUnavailable(f"{what} ({str(error) or type(error).__name__})") from error


def _require_broker_error(error: Exception) -> None:
    """Raise an error again that is none of the broker's.

    uvloop raises a bare RuntimeError for a write to a connection that the broker has just closed.
    """
    if isinstance(error, RuntimeError) and "the handler is closed" not in str(error):
        raise error


async def check(url: str) -> None:
    """Raise `BrokerUnavailable` unless there is a broker."""
    async with connected(url):
        return
