"""Between events and rows: nothing is lost on the way, and what cannot be read says where it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from msgspec.structs import astuple

from sagaledger.domain.errors import CorruptEvent, PayloadTooLarge, UnknownEvent
from sagaledger.domain.event import Event, Registry, event
from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec, UnreadableEvent
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX, NewEvent, StoredRow
from sagaledger.infrastructure.event_store.hash_chain import digest
from sagaledger.infrastructure.event_store.verify import verify

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@event("NoteTaken")
class NoteTaken(Event, frozen=True):
    """Something was written down."""

    text: str


class Scrambling:
    """A payload codec as one that encrypts would be: around the registry, on both ways."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def encode(self, event: Event, /) -> bytes:
        return self._registry.encode(event)[::-1]

    def decode(self, topic: str, schema_version: int, payload: bytes, /) -> Event:
        return self._registry.decode(topic, schema_version, payload[::-1])


@pytest.fixture
def codec() -> Codec:
    return Codec(Registry([NoteTaken]))


def stored(new: NewEvent, **changes: object) -> StoredRow:
    return new.stored(7, NOON)._replace(**changes)


def test_an_event_comes_back_with_all_that_was_sent_with_it(codec: Codec) -> None:
    """And with what the log added."""
    note = NoteTaken(at=NOON, text="Zoë")
    meta = Meta(actor="ann", epoch=3)

    new = codec.encode("note-1", 4, note, correlation_id="trip-9", causation_position=2, meta=meta)

    assert codec.decode(stored(new)) == RecordedEvent(7, "note-1", 4, note, "trip-9", 2, meta, NOON)
    assert new.digest == digest(*astuple(new)[:8])
    assert new.meta == '{"actor":"ann","epoch":3}'


def test_a_stream_s_own_correlation_is_not_stored(codec: Codec) -> None:
    """Absent means its own id, also when it is given."""
    for given in (None, "note-1"):
        new = codec.encode("note-1", 1, NoteTaken(at=NOON, text=""), correlation_id=given)

        assert new.correlation_id is None
        assert codec.decode(stored(new)).correlation_id == "note-1"


def test_a_large_event_is_refused_with_its_size(codec: Codec) -> None:
    """The largest one passes; one byte more names event, stream and sizes."""
    frame = len(codec.encode("n", 1, NoteTaken(at=NOON, text="")).state)
    largest = STATE_BYTES_MAX - frame

    assert len(codec.encode("n", 1, NoteTaken(at=NOON, text="x" * largest)).state) == STATE_BYTES_MAX
    with pytest.raises(PayloadTooLarge, match=r"'NoteTaken' of n is 262,145 bytes, more than the 262,144"):
        codec.encode("n", 1, NoteTaken(at=NOON, text="x" * (largest + 1)))


@pytest.mark.parametrize(
    ("changes", "cause", "says"),
    [
        ({"topic": "Gone"}, UnknownEvent, "'Gone' schema version 1 is not registered"),
        ({"schema_version": 9}, UnknownEvent, "this version reads 1 to 1"),
        ({"state": b"{"}, CorruptEvent, "cannot be read"),
        ({"state": b"{}"}, CorruptEvent, "missing required field"),
        ({"meta": "no JSON"}, CorruptEvent, "its meta"),
    ],
)
def test_what_cannot_be_read_says_where_it_stands(
    codec: Codec, changes: dict[str, object], cause: type[Exception], says: str
) -> None:
    """Position, stream and version first, then why."""
    row = stored(codec.encode("note-1", 4, NoteTaken(at=NOON, text="x")), **changes)

    with pytest.raises(UnreadableEvent, match=r"^position 7, note-1 version 4: ") as raised:
        codec.decode(row)

    assert isinstance(raised.value.__cause__, cause)
    assert says in str(raised.value)
    assert raised.value.position == 7


def test_a_payload_codec_changes_what_is_stored_and_nothing_else(backend: Backend) -> None:
    """The log has its bytes, `verify` passes without it, and every reader gets the event back."""
    codec = Codec(Scrambling(Registry([NoteTaken])))
    note = NoteTaken(at=NOON, text="secret")
    backend.append(AppendCall(uuid4(), [Append([codec.encode("note-1", 1, note, correlation_id="trip-9")])]))

    [row] = backend.read(0, limit=9)
    [[(_, topic, schema_version, payload)]] = backend.payloads([["note-1"]])

    assert b"secret" not in row.state
    assert verify(backend).ok
    assert codec.decode(row).event == note
    assert codec.decode_payload(topic, schema_version, payload) == note
