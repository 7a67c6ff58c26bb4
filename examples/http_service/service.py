"""A courier's HTTP service with its own process, database and idempotency table, which misbehaves on demand.

    PUT    /insurances/REFERENCE    insure a parcel             DELETE  end the insurance
    PUT    /bookings/REFERENCE      have a parcel fetched       DELETE  cancel the booking
    POST   /misbehave               {"next": ["stall", "twice"]}: what goes wrong with the next requests

Every PUT and DELETE carries an `Idempotency-Key`. A request with a known key gets the first answer and has no effect. A
DELETE that arrives before its PUT is recorded, and the service refuses the PUT that follows.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from store import Answer, Request, Store

BODY_BYTES_MAX = 64 * 1024
MISDEEDS = ("fail_before", "fail_after", "stall", "late", "hang_up", "twice")
"""What can go wrong with a request:

- `fail_before`: an error, and the request was not carried out; `fail_after`: an error, although it was;
- `stall`: the request is carried out after the caller has given up; `late`: at once, and answered after that;
- `hang_up`: the connection is closed without an answer; `twice`: the request is answered twice.
"""


class Temper(NamedTuple):
    """How often the service misbehaves, and how long it takes."""

    rate: float
    """The share of requests that go wrong."""
    work_seconds: float
    """The least time that a request takes."""
    late_seconds: float
    """A time that is longer than callers wait."""
    chance: random.Random


class Courier(ThreadingHTTPServer):
    """The service: its store, and the misdeeds that come next."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, store: Store, temper: Temper) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.store = store
        self.temper = temper
        self._demanded: deque[str] = deque()
        self._lock = Lock()

    def demand(self, misdeeds: list[str]) -> None:
        """Make the next requests go wrong in these ways, one each. Raises `ValueError` for an unknown way."""
        unknown = sorted(set(misdeeds) - {*MISDEEDS, "none"})
        if unknown:
            raise ValueError(f"no such misdeed: {unknown}; there are {MISDEEDS} and 'none'")
        with self._lock:
            self._demanded.extend(misdeeds)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore callers that closed the connection; report every other error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def misdeed(self) -> str:
        """Return the misdeed for the present request."""
        with self._lock:
            if self._demanded:
                return self._demanded.popleft()
            chance = self.temper.chance
            return chance.choice(MISDEEDS) if chance.random() < self.temper.rate else "none"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Courier
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """Insure a parcel, or book the courier."""
        self._serve()

    def do_DELETE(self) -> None:
        """End an insurance, or cancel a booking."""
        self._serve()

    def do_POST(self) -> None:
        """Order misdeeds for the next requests."""
        try:
            self.server.demand(json.loads(self._body())["next"])
        except (ValueError, KeyError) as error:
            self._reply(Answer(400, str(error)))
        else:
            self._reply(Answer(200, "{}"))

    def _serve(self) -> None:
        body = self._body()
        key = self.headers.get("Idempotency-Key", "")
        parts = self.path.strip("/").split("/")
        if not key or len(parts) != 2 or parts[0] not in ("insurances", "bookings"):
            self._reply(Answer(400, "PUT or DELETE /insurances/REFERENCE or /bookings/REFERENCE, with Idempotency-Key"))
            return
        kind, reference = parts
        self._answer(Request(key, self.command, kind, reference, body), self.server.misdeed())

    def _answer(self, request: Request, misdeed: str) -> None:
        store, late_seconds = self.server.store, self.server.temper.late_seconds
        time.sleep(self.server.temper.work_seconds)
        match misdeed:
            case "fail_before":
                self._reply(Answer(503, "not now"))
            case "fail_after":
                store.handle(request)
                self._reply(Answer(500, "something broke"))
            case "stall":
                time.sleep(late_seconds)
                self._reply(store.handle(request))
            case "late":
                answer = store.handle(request)
                time.sleep(late_seconds)
                self._reply(answer)
            case "hang_up":
                store.handle(request)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case _:
                answer = store.handle(request)
                self._reply(answer)
                if misdeed == "twice":
                    self._reply(answer)

    def _body(self) -> str:
        length = int(self.headers.get("Content-Length", "0"))
        return self.rfile.read(min(length, BODY_BYTES_MAX)).decode()

    def _reply(self, answer: Answer) -> None:
        content = answer.body.encode()
        try:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the caller gave up; the effect stays

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
        """Log nothing: the store has every request."""


def main() -> None:
    """Serve until stopped. The first line on stdout is the address."""
    parser = argparse.ArgumentParser(description="A courier's service that misbehaves on demand.")
    parser.add_argument("--port", type=int, default=8099, help="0: any free port")
    parser.add_argument("--db", type=Path, default=Path("courier.sqlite"))
    parser.add_argument("--misbehave", type=float, default=0.0, help="the share of requests that go wrong")
    parser.add_argument("--work-seconds", type=float, default=0.0, help="how long every request takes")
    parser.add_argument("--late-seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)  # noqa: S311 -- the same misdeeds in every run
    temper = Temper(given.misbehave, given.work_seconds, given.late_seconds, chance)
    with Courier(given.port, Store(given.db), temper) as courier:
        print(f"127.0.0.1:{courier.server_port}", flush=True)
        courier.serve_forever()


if __name__ == "__main__":
    main()
