"""The engine's inbox: who waits there is woken by a message, and by the file descriptor that is waited for as well."""

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
    """Something to be told."""
    with closing(asyncio.new_event_loop()) as loop:
        yield AwaitOutcome("errand-1", Reply(loop.create_future()))


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection to somebody who may answer."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize("rung", ["before", "meanwhile"])
def test_a_message_ends_the_wait_for_an_answer(
    inbox: Mailbox, line: tuple[socket.socket, socket.socket], message: AwaitOutcome, rung: str
) -> None:
    """Told before it waits or while it does: it hears of it long before the answer, and of all there is at once."""
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
    """There is nothing to be told then."""
    here, there = line
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(inbox.take, LONG_SECONDS, here.fileno())
        there.send(b"answered")
        assert taken.result(PATIENCE_SECONDS) == ([], False)


def test_an_old_ring_wakes_nobody(
    inbox: Mailbox, line: tuple[socket.socket, socket.socket], message: AwaitOutcome
) -> None:
    """However often the bell was rung for what has been heard, the next wait is a wait."""
    here, _ = line
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(inbox.take, LONG_SECONDS, here.fileno())
            while not inbox.listening:
                assert not taken.done()
            inbox.put([message])
            assert taken.result(PATIENCE_SECONDS) == ([message], False)

    assert inbox.take(0.0, here.fileno()) == ([], False)
