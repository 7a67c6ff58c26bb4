"""The engine's mailbox: a message ends the wait, and so does the file descriptor that is waited for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from sagaledger.infrastructure.worker.mailbox import Mailbox
from sagaledger.infrastructure.worker.messages import AwaitOutcome, Reply

PATIENCE_SECONDS = 10.0
LONG_SECONDS = 30.0


@pytest.fixture
def inbox() -> Iterator[Mailbox]:
    with closing(Mailbox()) as inbox:
        yield inbox


@pytest.fixture
def message() -> Iterator[AwaitOutcome]:
    """A message to put."""
    with closing(asyncio.new_event_loop()) as loop:
        yield AwaitOutcome("errand-1", Reply(loop.create_future()))


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection, one of which the mailbox waits for."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize("rung", ["before", "meanwhile"])
def test_a_message_ends_the_wait_for_an_answer(
    inbox: Mailbox, line: tuple[socket.socket, socket.socket], message: AwaitOutcome, rung: str
) -> None:
    """Put before the wait or during it: the taker gets all messages at once, long before the descriptor is readable."""
    here, _ = line
    with ThreadPoolExecutor(1) as pool:
        if rung == "before":
            inbox.put([message])
        taken = pool.submit(inbox.take, LONG_SECONDS, here.fileno())
        if rung == "meanwhile":
            while not inbox.listening:
                assert not taken.done()
            inbox.put([message])
        assert taken.result(PATIENCE_SECONDS) == ([message], False)


def test_an_answer_ends_the_wait_for_a_message(inbox: Mailbox, line: tuple[socket.socket, socket.socket]) -> None:
    """The taker gets no message then."""
    here, there = line
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(inbox.take, LONG_SECONDS, here.fileno())
        there.send(b"answered")
        assert taken.result(PATIENCE_SECONDS) == ([], False)


def test_an_old_ring_wakes_nobody(
    inbox: Mailbox, line: tuple[socket.socket, socket.socket], message: AwaitOutcome
) -> None:
    """However often the taker was woken for messages it already has, the next wait waits."""
    here, _ = line
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(inbox.take, LONG_SECONDS, here.fileno())
            while not inbox.listening:
                assert not taken.done()
            inbox.put([message])
            assert taken.result(PATIENCE_SECONDS) == ([message], False)

    assert inbox.take(0.0, here.fileno()) == ([], False)
