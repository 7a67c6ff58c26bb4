"""Reading many streams in one query; a stream that cannot be read does not affect the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...domain.recorded_event import RecordedEvent
from ..event_store.codec import Codec, UnreadableEvent
from ..event_store.event_log import EventLog


class StreamReads(NamedTuple):
    """What was read, by stream id; a stream is in one of the two, or in neither if it has no such events."""

    readable: Mapping[str, Sequence[RecordedEvent]]
    unreadable: Mapping[str, UnreadableEvent]


def read_streams(log: EventLog, codec: Codec, after: Sequence[tuple[str, int]]) -> StreamReads:
    """Returns the events of many streams, each beyond the version given with it. Raises `Unavailable`."""
    readable: dict[str, list[RecordedEvent]] = {}
    unreadable: dict[str, UnreadableEvent] = {}
    for row in log.streams(after) if after else ():
        if row.stream_id in unreadable:
            continue
        try:
            readable.setdefault(row.stream_id, []).append(codec.decode(row))
        except UnreadableEvent as error:
            unreadable[row.stream_id] = error
            del readable[row.stream_id]
    return StreamReads(readable, unreadable)
