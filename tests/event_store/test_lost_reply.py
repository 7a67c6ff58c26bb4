"""An append whose reply is lost is written once; its outcome is the first one, or reported as unknown."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from sagaledger.infrastructure.errors import OutcomeUnknown, Unavailable
from sagaledger.infrastructure.event_store.append_call import Appended, Conflict
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.postgres.store import PostgresStore

if TYPE_CHECKING:
    from .conftest import Pen


SOCKET = ".s.PGSQL.5432"


class Proxy:
    """Between client and server, it can lose an append, or the reply to one, and then closes the connection."""

    def __init__(self, connect: Callable[[], socket.socket], folder: Path) -> None:
        self.folder = folder
        self.requests_to_lose = 0
        self.replies_to_lose = 0
        self.reply = b"append_events"  # the column that the function returns
        self.is_open = True
        self._connect = connect
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen()
        self._acceptor = Thread(target=self._accept)
        self._acceptor.start()

    def close(self) -> None:
        self.is_open = False
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            if self.is_open:
                Thread(target=self._serve, args=(client,)).start()
            else:
                client.close()

    def _serve(self, client: socket.socket) -> None:
        with client, self._connect() as server:
            directions = (
                Thread(target=self._forward, args=(client, server, self._loses_request)),
                Thread(target=self._forward, args=(server, client, self._loses_reply)),
            )
            for direction in directions:
                direction.start()
            for direction in directions:
                direction.join()

    def _forward(self, source: socket.socket, target: socket.socket, loses: Callable[[bytes], bool]) -> None:
        with suppress(OSError):  # the other direction was closed
            while (data := source.recv(65_536)) and not loses(data):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _loses_request(self, data: bytes) -> bool:
        lost = self.requests_to_lose > 0 and b"Happened" in data  # the topic of the test's events
        self.requests_to_lose -= lost
        return lost

    def _loses_reply(self, data: bytes) -> bool:
        lost = self.replies_to_lose > 0 and self.reply in data
        self.replies_to_lose -= lost
        return lost


@contextmanager
def proxy_of(connect: Callable[[], socket.socket]) -> Iterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:  # short: a socket's path has 107 characters at most
        proxy = Proxy(connect, Path(folder))
        yield proxy
        proxy.close()


@pytest.fixture
def proxy(postgres_server: str) -> Iterator[Proxy]:
    path = Path(str(conninfo_to_dict(postgres_server)["host"])) / SOCKET

    def connect() -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(path))
        return server

    with proxy_of(connect) as proxy:
        yield proxy


@pytest.fixture
def directly(postgres_url: str) -> Iterator[Backend]:
    """The ledger, without the proxy."""
    log = open_backend(postgres_url, create=True)
    yield log
    log.close()


@pytest.fixture
def through(postgres_url: str, proxy: Proxy, directly: Backend) -> Iterator[PostgresStore]:
    """The same ledger through the proxy."""
    assert directly.head().position == 0
    server = str(conninfo_to_dict(postgres_url)["host"])
    log = PostgresStore(postgres_url.replace(f"host={server}", f"host={proxy.folder}"), learn_seconds=1)
    yield log
    log.close()


def test_a_lost_reply_is_learned(through: PostgresStore, proxy: Proxy, pen: Pen) -> None:
    """The append was written once, and its outcome has no false conflict with itself."""
    through.append(pen.call(pen.append("a", 1)))
    proxy.replies_to_lose = 1

    receipt = through.append(pen.call(pen.append("a", 2), pen.append("a", 2), pen.append("b", 1)))

    assert proxy.replies_to_lose == 0
    assert receipt.outcomes == [Appended(2, 2), Conflict("a", 1, 2), Appended(3, 3)]
    assert [(row.stream_id, row.version) for row in through.read(0, limit=9)] == [("a", 1), ("a", 2), ("b", 1)]


def test_a_lost_commit_is_learned_through_a_pooler(pooled_url: str, pen: Pen) -> None:
    """There the call is a transaction of several exchanges, and its commit is the one that counts."""
    parameters = conninfo_to_dict(pooled_url.partition("?")[0])
    address = (str(parameters["host"]), int(str(parameters["port"])))
    with proxy_of(lambda: socket.create_connection(address)) as proxy:
        url = (
            f"postgresql://{parameters['user']}@/{parameters['dbname']}?host={proxy.folder}&schema={parameters['user']}"
        )
        through = PostgresStore(url, create=True)
        through.append(pen.call(pen.append("a", 1)))
        proxy.reply, proxy.replies_to_lose = b"COMMIT\0", 1

        receipt = through.append(pen.call(pen.append("a", 2), pen.append("a", 2)))

        assert proxy.replies_to_lose == 0
        assert receipt.outcomes == [Appended(2, 2), Conflict("a", 1, 2)]
        assert [(row.stream_id, row.version) for row in through.read(0, limit=9)] == [("a", 1), ("a", 2)]
        through.close()


def test_a_lost_request_is_sent_again(through: PostgresStore, proxy: Proxy, pen: Pen) -> None:
    """The first request never arrived, so the append is written once."""
    through.append(pen.call(pen.append("a", 1)))
    proxy.requests_to_lose = 1

    receipt = through.append(pen.call(pen.append("a", 2)))

    assert proxy.requests_to_lose == 0
    assert receipt.outcomes == [Appended(2, 2)]
    assert through.head().position == 2


def test_what_cannot_be_learned_is_not_guessed(
    through: PostgresStore, directly: Backend, proxy: Proxy, pen: Pen
) -> None:
    """The server stays unreachable. The same call returns the outcome when the server is back."""
    through.append(pen.call(pen.append("a", 1)))
    call = pen.call(pen.append("a", 2), pen.append("a", 9))
    proxy.replies_to_lose = 1
    proxy.is_open = False

    with pytest.raises(OutcomeUnknown, match=str(call.append_id)):
        through.append(call)

    directly.append(pen.call(pen.append("a", 3)))
    proxy.is_open = True
    assert through.append(call).outcomes == [Appended(2, 2), Conflict("a", 8, 2)]
    assert directly.head().position == 3


def test_a_server_that_was_never_reached_wrote_nothing(
    through: PostgresStore, directly: Backend, proxy: Proxy, pen: Pen
) -> None:
    """Nothing was sent, so the outcome is known."""
    proxy.is_open = False

    with pytest.raises(Unavailable):
        through.append(pen.call(pen.append("a", 1)))

    assert directly.head().position == 0


def test_a_read_finds_another_connection(through: PostgresStore, directly: Backend, pen: Pen) -> None:
    """The server ended every idle connection, as a restart does, and readers do not notice."""
    directly.append(pen.call(pen.append("a", 1)))
    through.head()
    with directly._database.transaction() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
            "current_database()"
        )

    assert through.head().position == 1
    assert through.append(pen.call(pen.append("a", 2))).outcomes == [Appended(2, 2)]
