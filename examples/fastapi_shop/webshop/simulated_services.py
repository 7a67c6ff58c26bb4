"""A real HTTP server that stands for the other companies: payments and parcels, each effect once for each key.

It keeps its effects in a SQLite file of its own, so that it remembers them when the shop is started again. The shop
runs it in its own process, unless `SHOP_SERVICES` says where it is: `python -m webshop.simulated_services --port 8099`.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

ANSWER_SECONDS = float(os.environ.get("SHOP_SERVICE_SECONDS", "0"))
"""How long each request takes after its effect: time to stop the shop in the middle of a saga."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, method TEXT NOT NULL, path TEXT NOT NULL,
    status INTEGER NOT NULL, answer TEXT NOT NULL, requests INTEGER NOT NULL DEFAULT 1
)
"""


class SimulatedServices(ThreadingHTTPServer):
    """The server, with its effects."""

    daemon_threads = True

    def __init__(self, path: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Handler)
        self._effects = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._effects.execute(_SCHEMA)
        self._lock = Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_once(self, key: str, method: str, path: str, card: str) -> tuple[int, str]:
        """Return the first answer under this key; a payment or parcel that was undone before is refused."""
        with self._lock:
            known = self._effects.execute(
                "UPDATE effects SET requests = requests + 1 WHERE key = ? RETURNING status, answer", [key]
            ).fetchone()
            if known is not None:
                return int(known[0]), str(known[1])
            undone = self._effects.execute("SELECT 1 FROM effects WHERE method = 'DELETE' AND path = ?", [path])
            if method == "PUT" and undone.fetchone() is not None:
                answer = 422, f"{path} was undone before"
            elif card == "declined":
                answer = 422, "the card was declined"
            else:
                answer = 200, json.dumps({"reference": f"{method} {path}"})
            self._effects.execute(
                "INSERT INTO effects (key, method, path, status, answer) VALUES (?, ?, ?, ?, ?)",
                [key, method, path, *answer],
            )
            return answer


class _Handler(BaseHTTPRequestHandler):
    server: SimulatedServices

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        status, text = self.server.handle_once(
            self.headers["Idempotency-Key"], self.command, self.path, body.get("card", "")
        )
        time.sleep(ANSWER_SECONDS)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
        """Log nothing."""


@contextmanager
def simulated_services(path: Path) -> Iterator[str]:
    """Run the services on a thread for as long as the block lasts; yields their URL."""
    with SimulatedServices(path) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.url
        finally:
            server.shutdown()


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="Simulated services for payments and parcels.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--db", type=Path, default=Path("webshop-services.db"))
    given = parser.parse_args()
    with SimulatedServices(given.db, given.host, given.port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
