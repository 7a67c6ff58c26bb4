"""The courier's own database: its effects, and the answer that it gave under each idempotency key.

Effect and answer share one transaction, so a key has at most one effect, also if it is sent twice at the same time.
`effects` has no unique key: if a caller changes its key between attempts, the second effect is visible.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from threading import Lock
from typing import NamedTuple

GRAMS_MAX = 30_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, method TEXT NOT NULL, kind TEXT NOT NULL, reference TEXT NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, requests INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS effects (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, method TEXT NOT NULL, kind TEXT NOT NULL, reference TEXT NOT NULL
);
"""


class Request(NamedTuple):
    """A request of a caller, with its idempotency key."""

    key: str
    method: str
    kind: str
    reference: str
    body: str


class Answer(NamedTuple):
    """The answer to a request, the same every time."""

    status: int
    body: str


class Store:
    """Effects and answers in one SQLite file. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(SCHEMA)
        self._lock = Lock()

    def handle(self, request: Request) -> Answer:
        """Carry a request out once. A known key gets the first answer; another request under that key is an error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                answer = self._known(request) or self._carry_out(request)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return answer

    def _known(self, request: Request) -> Answer | None:
        found = self._connection.execute(
            "UPDATE answers SET requests = requests + 1 WHERE key = ? RETURNING method, kind, reference, status, body",
            (request.key,),
        ).fetchone()
        if found is None:
            return None
        if found[:3] != (request.method, request.kind, request.reference):
            return Answer(409, f"key {request.key} was used for another request")
        return Answer(*found[3:])

    def _carry_out(self, request: Request) -> Answer:
        answer = self._insure_or_book(request) if request.method == "PUT" else self._undo(request)
        self._connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, 1)",
            (request.key, request.method, request.kind, request.reference, *answer),
        )
        return answer

    def _insure_or_book(self, request: Request) -> Answer:
        if self._did("DELETE", request):
            return Answer(422, f"{request.kind} {request.reference} was cancelled before it was asked for")
        if request.kind == "bookings" and json.loads(request.body)["grams"] > GRAMS_MAX:
            return Answer(422, f"the courier carries up to {GRAMS_MAX // 1000} kg")
        number = self._record(request)
        name = "policy" if request.kind == "insurances" else "tracking_number"
        return Answer(201, json.dumps({name: f"{name[0].upper()}{number:08}"}))

    def _undo(self, request: Request) -> Answer:
        undone = self._did("PUT", request)
        self._record(request)
        return Answer(200, json.dumps({"undone": undone}))

    def _did(self, method: str, request: Request) -> bool:
        return bool(
            self._connection.execute(
                "SELECT 1 FROM effects WHERE method = ? AND kind = ? AND reference = ?",
                (method, request.kind, request.reference),
            ).fetchone()
        )

    def _record(self, request: Request) -> int:
        recorded = self._connection.execute(
            "INSERT INTO effects (key, method, kind, reference) VALUES (?, ?, ?, ?)", request[:4]
        )
        return recorded.lastrowid or 0
