"""Between an event and the row that stores it. The only place where one becomes the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from ...domain.choreography.choreography import Choreography
from ...domain.errors import CorruptEvent, PayloadTooLarge, SagaledgerError, UnknownEvent
from ...domain.event import Event, Registry
from ...domain.recorded_event import Meta, RecordedEvent
from .hash_chain import about, digest_of, kind, text
from .port import STATE_BYTES_MAX, NewEvent, StoredRow

_NOBODY: Final = Meta()
_encode_meta: Final = msgspec.json.Encoder().encode
_decode_meta: Final = lru_cache(maxsize=4096)(msgspec.json.Decoder(Meta).decode)  # a worker writes the same one often


@lru_cache(maxsize=4096)
def _meta_text(meta: Meta) -> str:
    return _encode_meta(meta).decode()


@lru_cache(maxsize=4096)
def _kind_of(type_: type[Event]) -> tuple[str, int, bytes]:
    """Under which topic and schema version a type is stored, and these two encoded for a digest."""
    schema = type_.schema
    return schema.name, schema.version, kind(schema.name, schema.version)


class UnreadableEvent(SagaledgerError):
    """A stored event cannot be read; says which and where, and its cause says why."""

    def __init__(self, row: StoredRow, cause: UnknownEvent | CorruptEvent) -> None:
        super().__init__(f"position {row.position}, {row.stream_id} version {row.version}: {cause}")
        self.position = row.position
        self.stream_id = row.stream_id
        self.version = row.version


class Envelope(Struct, eq=False):
    """What the events of one append have in common: the process they belong to, what caused them, who wrote them."""

    to_bytes: Callable[[Event], bytes]
    correlation_id: str | None
    causation_position: int | None
    meta: str
    own_stream: bytes
    own_about: bytes
    """These two are columns of every event in the process's own stream, encoded for its digest."""
    others_about: bytes | None = None
    """The same in a stream of somebody else's; encoded when the first event there needs it."""

    def encode(self, stream_id: str, version: int, event: Event) -> NewEvent:
        """An event as it is sent to the log.

        Raises `PayloadTooLarge`, and what `Registry.encode` raises.
        """
        state = self.to_bytes(event)
        topic, schema_version, kind_columns = _kind_of(type(event))
        if len(state) > STATE_BYTES_MAX:
            raise PayloadTooLarge(f"event {topic!r} of {stream_id}", len(state), STATE_BYTES_MAX)
        correlation_id = self.correlation_id
        if correlation_id == stream_id:
            correlation_id, stream, about_columns = None, self.own_stream, self.own_about
        else:
            stream, about_columns = text(stream_id), self._about_others()
        digest = digest_of(stream, version, kind_columns, state, about_columns)
        return NewEvent(
            stream_id,
            version,
            topic,
            schema_version,
            state,
            correlation_id,
            self.causation_position,
            self.meta,
            digest,
        )

    def _about_others(self) -> bytes:
        if self.others_about is None:
            self.others_about = about(self.correlation_id, self.causation_position, self.meta)
        return self.others_about


class Codec:
    """Writes and reads the events of one registry.

    `choreographies`: the choreographed processes among whose events readers find sagas (see `SagaDeriver`).
    """

    def __init__(self, registry: Registry, choreographies: Iterable[Choreography] = ()) -> None:
        self.registry = registry
        self.choreographies = tuple(choreographies)

    def encode(
        self,
        stream_id: str,
        version: int,
        event: Event,
        *,
        correlation_id: str | None = None,
        causation_position: int | None = None,
        meta: Meta = _NOBODY,
    ) -> NewEvent:
        """An event as it is sent to the log.

        Raises `PayloadTooLarge`, and what `Registry.encode` raises.
        """
        return self.envelope(correlation_id, causation_position, meta).encode(stream_id, version, event)

    def envelope(self, correlation_id: str | None, causation_position: int | None, meta: Meta) -> Envelope:
        """What the events of one append have in common."""
        meta_text = _meta_text(meta)
        return Envelope(
            self.registry.encode,
            correlation_id,
            causation_position,
            meta_text,
            b"" if correlation_id is None else text(correlation_id),
            about(None, causation_position, meta_text),
        )

    def decode(self, row: StoredRow) -> RecordedEvent:
        """A stored event, read back. Raises `UnreadableEvent`, naming the place."""
        position, stream_id, version, topic, schema_version, state, correlation_id, causation, meta, at, _ = row
        try:
            return RecordedEvent(
                position,
                stream_id,
                version,
                self.registry.decode(topic, schema_version, state),
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
