"""A proxy between the workers and the database: it cuts connections, loses answers, and holds requests back."""

from __future__ import annotations

import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import sleep
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536
ANSWER = b"append_events"
"""The column in the answer of an append that was committed."""
REQUEST = b"StepSucceeded"
"""A topic in the appends that only workers send."""


class Proxy:
    """Stands before a server's socket, with one of the same name in `folder`. Use it as a context manager."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._to_lose = 0
        self._hold_back_seconds = 0.0
        self.is_away = False
        """Whether it lets no one in."""
        self.cuts = 0
        """How many connections it has cut."""
        self.lost = 0
        """How many answers it has lost."""
        self.held_back = 0
        """How many requests it has held back."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="door-"))  # short: a socket's path has 107 characters at most
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self.folder / self._server.name))
        self._door.listen(256)
        self._doorman = Thread(target=self._let_in, name="proxy-door", daemon=True)
        self._doorman.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._doorman.join()
        self._door.close()
        self.cut()
        (self.folder / self._server.name).unlink()
        self.folder.rmdir()

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            connections = list(self._open)
        self.cuts += len(connections) // 2
        for connection in connections:
            _hang_up(connection)

    def leave(self) -> None:
        """Cut every connection, and let no one in until `come_back`."""
        self.is_away = True
        self.cut()

    def come_back(self) -> None:
        """Let clients in again."""
        self.is_away = False

    def lose_reply(self) -> None:
        """Lose the next answer to an append."""
        with self._lock:
            self._to_lose += 1

    def hold_back(self, seconds: float) -> None:
        """Hold the next append of a worker back for so long, and then deliver it."""
        with self._lock:
            self._hold_back_seconds = seconds

    def _let_in(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return  # the door was closed
            if self.is_away:
                client.close()
                continue
            Thread(target=self._serve, args=(client,), name="proxy-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(str(self._server))
            except OSError:
                return  # the database is down: the client sees its connection closed
            with self._lock:
                self._open |= {client, server}
            back = Thread(target=self._forward, args=(server, client, True), name="proxy-back", daemon=True)
            back.start()
            self._forward(client, server, False)
            back.join()
            with self._lock:
                self._open -= {client, server}

    def _forward(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):  # the other way hung up
            while (data := source.recv(CHUNK_BYTES)) and not (answers and self._loses(data)):
                if not answers:
                    self._dawdle(data)
                target.sendall(data)
        _hang_up(source)
        _hang_up(target)

    def _loses(self, data: bytes) -> bool:
        if self._to_lose == 0 or ANSWER not in data:
            return False
        with self._lock:
            losing = self._to_lose > 0
            self._to_lose -= losing
            self.lost += losing
        return losing

    def _dawdle(self, data: bytes) -> None:
        if self._hold_back_seconds == 0 or REQUEST not in data:
            return
        with self._lock:
            seconds, self._hold_back_seconds = self._hold_back_seconds, 0.0
            self.held_back += seconds > 0
        sleep(seconds)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)
