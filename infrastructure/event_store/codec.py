"""Between an event and the row that stores it: the only module where one becomes the other.

**Where encryption sits.** Every payload goes through `PayloadCodec.encode` on its way into the log and through
`PayloadCodec.decode` on its way out, and nothing else turns an event into bytes or back. A payload codec that encrypts
wraps the registry: it seals what `Registry.encode` returns, and opens what it passes to `Registry.decode`. The digest
is taken afterwards, over the ciphertext, so that `verify` needs no key. `EventLog.payloads` reads no meta, so a sealed
payload has to name its key itself; `Meta.key_id` repeats it for audits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from ...domain.choreography.choreography import Choreography
from ...domain.errors import (
    CorruptEvent,
    InvalidInput,
    NotSerialisable,
    PayloadTooLarge,
    SagaledgerError,
    UnknownEvent,
)
from ...domain.event import Event
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.payload import PAYLOAD_BYTES_MAX
from ...domain.saga.read_back import is_read_back, says_what_each_part_is
from ...domain.user_code import contained, is_interruption, shown
from .event_row import STATE_BYTES_MAX, NewEvent, StoredRow
from .hash_chain import context_columns, digest_of_encoded, text_column, type_columns

_NO_META: Final = Meta()
_encode_meta: Final = msgspec.json.Encoder().encode
_decode_meta: Final = lru_cache(maxsize=4096)(msgspec.json.Decoder(Meta).decode)  # a worker writes the same one often


@lru_cache(maxsize=4096)
def _meta_text(meta: Meta) -> str:
    """Return a meta as it is stored. Raises `InvalidInput`, and `TypeError` for what has no hash."""
    actor = meta.actor
    if actor is not None and not isinstance(actor, str):
        raise InvalidInput(f"the actor must be a text, and is a {type(actor).__name__}")
    try:
        text = _encode_meta(meta).decode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the actor {actor!r} is no text of Unicode") from error
    if len(text) > PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge("the actor", len(text), PAYLOAD_BYTES_MAX)
    return text


@lru_cache(maxsize=4096)
def _stored_type(type_: type[Event]) -> tuple[str, int, bytes]:
    """Return the topic and the schema version of an event type, and the two encoded for a digest."""
    schema = type_.schema
    return schema.name, schema.version, type_columns(schema.name, schema.version)


_is_typed: Final = lru_cache(maxsize=4096)(says_what_each_part_is)


class PayloadCodec(Protocol):
    """Turns an event into the bytes that the log stores, and back. A `Registry` is one: it writes plain JSON."""

    def encode(self, event: Event, /) -> bytes:
        """Return the stored bytes of an event. Raises `UnknownEvent` or `NotSerialisable`."""
        ...

    def decode(self, topic: str, schema_version: int, payload: bytes, /) -> Event:
        """Return the event that stored bytes mean. Raises `UnknownEvent` or `CorruptEvent`."""
        ...


class UnreadableEvent(SagaledgerError):
    """A stored event cannot be read or folded; the message says which and where, and its cause says why.

    The cause may be an error of the app's own code: of an upcaster, a payload codec or a participant's `evolve`.
    """

    def __init__(self, row: StoredRow, cause: Exception) -> None:
        why = shown(cause) if isinstance(cause, SagaledgerError) else f"{type(cause).__name__}: {shown(cause)}"
        super().__init__(f"position {row.position}, {row.stream_id} version {row.version}: {why}")
        self.position = row.position
        self.stream_id = row.stream_id
        self.version = row.version


class Envelope(Struct, eq=False):
    """What the events of one append have in common: the process they belong to, what caused them, who wrote them."""

    encode_payload: Callable[[Event], bytes]
    decode_payload: Callable[[str, int, bytes], Event]
    correlation_id: str | None
    causation_position: int | None
    meta: str
    own_stream: bytes
    own_context: bytes
    """These two are columns of every event in the process's own stream, encoded for its digest."""
    foreign_context: bytes | None = None
    """The context columns of an event in another stream; encoded when the first such event needs them."""

    def encode(self, stream_id: str, version: int, event: Event) -> NewEvent:
        """Return an event as it is sent to the log.

        Raises `PayloadTooLarge`, and what `PayloadCodec.encode` raises.
        """
        state = self.encode_payload(event)
        topic, schema_version, type_ = _stored_type(type(event))
        if len(state) > STATE_BYTES_MAX:
            raise PayloadTooLarge(f"event {topic!r} of {stream_id}", len(state), STATE_BYTES_MAX)
        correlation_id = self.correlation_id
        if correlation_id == stream_id:
            correlation_id, stream, context = None, self.own_stream, self.own_context
        else:
            stream, context = text_column(stream_id), self._foreign_context()
        return NewEvent(
            stream_id,
            version,
            topic,
            schema_version,
            state,
            correlation_id,
            self.causation_position,
            self.meta,
            digest_of_encoded(stream, version, type_, state, context),
        )

    def encode_given(self, stream_id: str, version: int, event: Event) -> tuple[NewEvent, Event]:
        """Return an event whose values come from outside as it is sent to the log, and as it will be read.

        Raises what `encode` raises, and `NotSerialisable` for an event that would be read as another one or not at all:
        that would keep its whole stream from being read.
        """
        new = self.encode(stream_id, version, event)
        try:
            read = self.decode_payload(new.topic, new.schema_version, new.state)
        except CorruptEvent as error:
            raise NotSerialisable(f"event {new.topic!r} of {stream_id} could not be read: {error.detail}") from error
        if read != event and not is_read_back(read, event, typed=_is_typed(type(event))):
            raise NotSerialisable(f"event {new.topic!r} of {stream_id} would be read as {read!r}, and is {event!r}")
        return new, read

    def _foreign_context(self) -> bytes:
        if self.foreign_context is None:
            self.foreign_context = context_columns(self.correlation_id, self.causation_position, self.meta)
        return self.foreign_context


class Codec:
    """Writes and reads the events of a ledger. Every writer and every reader of the log uses one.

    `choreographies`: the choreographed processes among whose events readers find sagas (see `SagaDeriver`).
    """

    def __init__(self, payloads: PayloadCodec, choreographies: Iterable[Choreography] = ()) -> None:
        self._encode_payload = payloads.encode
        self.decode_payload: Final = payloads.decode
        """Return the event of (topic, schema version, payload), for readers that need nothing else of its row."""
        self.choreographies = tuple(choreographies)

    def encode(
        self,
        stream_id: str,
        version: int,
        event: Event,
        *,
        correlation_id: str | None = None,
        causation_position: int | None = None,
        meta: Meta = _NO_META,
    ) -> NewEvent:
        """Return an event as it is sent to the log.

        Raises what `Envelope.encode_given` and `envelope` raise.
        """
        return self.envelope(correlation_id, causation_position, meta).encode_given(stream_id, version, event)[0]

    def envelope(self, correlation_id: str | None, causation_position: int | None, meta: Meta) -> Envelope:
        """Return what encodes the events of one append. Raises `InvalidInput` for an actor that is no text."""
        try:
            meta_text = _meta_text(meta)
        except TypeError as error:
            raise InvalidInput(f"the actor must be a text, and is a {type(meta.actor).__name__}") from error
        return Envelope(
            self._encode_payload,
            self.decode_payload,
            correlation_id,
            causation_position,
            meta_text,
            b"" if correlation_id is None else text_column(correlation_id),
            context_columns(None, causation_position, meta_text),
        )

    def decode(self, row: StoredRow) -> RecordedEvent:
        """Return the event of a stored row. Raises `UnreadableEvent`, which names the position."""
        position, stream_id, version, topic, schema_version, state, correlation_id, causation, meta, at, _ = row
        try:
            return RecordedEvent(
                position,
                stream_id,
                version,
                self.decode_payload(topic, schema_version, state),
                stream_id if correlation_id is None else correlation_id,
                causation,
                _decode_meta(meta),
                at,
            )
        except (UnknownEvent, CorruptEvent) as error:
            raise UnreadableEvent(row, error) from error
        except msgspec.MsgspecError as error:
            corrupt = CorruptEvent(topic, f"its meta: {error}")
            raise UnreadableEvent(row, corrupt) from corrupt
        except BaseException as error:
            if is_interruption(error):
                raise
            raise UnreadableEvent(row, contained(error)) from error
