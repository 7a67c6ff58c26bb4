"""A write to a connection that has just been closed is an outage of the broker, on every event loop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from sagaledger.infrastructure.choreography.nats.connection import broker_errors
from sagaledger.infrastructure.choreography.nats.errors import BrokerUnavailable


async def _write_after_the_end() -> None:
    """Write as the NATS client does when the broker ends the connection between two of its steps."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.transport.abort()
        await writer.wait_closed()
        writer.transport.writelines([b"PING\r\n"])


def test_uvloop_raises_what_no_client_expects() -> None:
    """Should that change, the translation below can go."""
    with (
        pytest.raises(RuntimeError, match="the handler is closed"),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_write_after_the_end())


def test_the_broker_counts_as_unavailable_then() -> None:
    """A service that met it ended, and its events waited for a person."""
    with (
        pytest.raises(BrokerUnavailable, match="cannot be acknowledged"),
        broker_errors("messages cannot be acknowledged"),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_write_after_the_end())


def test_any_other_error_is_left_alone() -> None:
    """It may be a bug."""
    with pytest.raises(RuntimeError, match="another"), broker_errors("it"):
        raise RuntimeError("another")
