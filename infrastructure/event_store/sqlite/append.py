"""One append call inside a write transaction of SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from msgspec.structs import astuple

from ...errors import SupersededWorker
from ..append_call import Append, AppendCall, Appended, Receipt
from ..conflict_rules import checkpoint_moved, decide, recall
from ..event_row import NewEvent
from ..hash_chain import chain
from .clock import microseconds_now
from .database import SQL
from .rows import read_head, stored_rows
from .work_queue import write_entries


def append_or_recall(connection: sqlite3.Connection, call: AppendCall) -> Receipt:
    """Append a call, or return its first outcome if it was written before. Raises what `EventLog.append` raises."""
    written = connection.execute(SQL["known_append"], (call.append_id.bytes,)).fetchone()
    return _append(connection, call) if written is None else _recall(connection, call, *written)


def _append(connection: sqlite3.Connection, call: AppendCall) -> Receipt:
    if call.token and connection.execute(SQL["holds_lease"], call.token).fetchone() is None:
        raise SupersededWorker(*call.token)
    _check_checkpoints(connection, call)
    head_position, head_hash, recorded_before = read_head(connection)
    now = max(microseconds_now(), recorded_before or 0)
    outcomes = decide(call.appends, _stream_ends(connection, call.appends), head_position)
    accepted = [append for append, outcome in zip(call.appends, outcomes, strict=True) if isinstance(outcome, Appended)]
    if accepted or not call.appends:
        events = [new for append in accepted for new in append.events]
        if events:
            last = head_position + len(events)
            hash_ = chain(head_hash, last, now, (new.digest for new in events))
            connection.execute(SQL["move_head"], (last, hash_, now))  # first: a row beyond the head is refused
            connection.execute(SQL["insert_append"], (call.append_id.bytes, head_position + 1, last, now, hash_))
            _insert_events(connection, events, head_position, now)
        write_entries(connection, accepted, now)
        for update in call.checkpoints:
            connection.execute(SQL["move_checkpoint"], (update.consumer, update.position, call.append_id.bytes))
    return Receipt(outcomes, now)


def _stream_ends(connection: sqlite3.Connection, appends: Sequence[Append]) -> dict[str, int]:
    wanted = list({new.stream_id: None for append in appends for new in append.events})
    ends = connection.execute(SQL["ends"], (json.dumps(wanted),))
    return {stream_id: version for stream_id, version in ends if version is not None}


def _insert_events(connection: sqlite3.Connection, events: Sequence[NewEvent], head_position: int, now: int) -> None:
    """Insert events after the head as it was."""
    connection.executemany(
        SQL["insert_event"],
        ((position, *astuple(new)[:-1], now, new.digest) for position, new in enumerate(events, head_position + 1)),
    )


def _check_checkpoints(connection: sqlite3.Connection, call: AppendCall) -> None:
    for update in call.checkpoints:
        position, moved_by = connection.execute(SQL["checkpoint"], (update.consumer,)).fetchone() or (0, b"")
        if position != update.expected and (position, moved_by) != (update.position, call.append_id.bytes):
            raise checkpoint_moved(update, position)


def _recall(connection: sqlite3.Connection, call: AppendCall, first: int, last: int, recorded_us: int) -> Receipt:
    rows = stored_rows(connection.execute(SQL["read"], {"after": first - 1, "upto": last, "limit": -1}))

    def end_before(stream_id: str, position: int) -> int | None:
        end: int | None = connection.execute(SQL["end_before"], (stream_id, position)).fetchone()[0]
        return end

    return Receipt(recall(call.appends, first, [row.as_sent() for row in rows], end_before), recorded_us)
