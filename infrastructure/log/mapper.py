"""Between an event and the row that stores it. The only place where one becomes the other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from ...domain.choreography import Choreography
from ...domain.errors import CorruptEvent, PayloadTooLarge, SagaledgerError, UnknownEvent
from ...domain.event import Event, Registry
from ...domain.recorded import Meta, Recorded
from .digest import about, digest_about
from .port import STATE_BYTES_MAX, NewEvent, StoredRow

_NOBODY: Final = Meta()
_encode_meta: Final = msgspec.json.Encoder().encode
_decode_meta: Final = lru_cache(maxsize=4096)(msgspec.json.Decoder(Meta).decode)  # a worker writes the same one often


@lru_cache(maxsize=4096)
def _meta_text(meta: Meta) -> str:
    return _encode_meta(meta).decode()


class UnreadableEvent(SagaledgerError):
    """A stored event cannot be read; says which and where, and its cause says why."""

    def __init__(self, row: StoredRow, cause: UnknownEvent | CorruptEvent) -> None:
        super().__init__(f"position {row.position}, {row.stream_id} version {row.version}: {cause}")
        self.position = row.position
        self.stream_id = row.stream_id
        self.version = row.version


class Envelope:
    """What the events of one append have in common: the process they belong to, what caused them, who wrote them."""

    __slots__ = ("_about", "_about_own", "_encode", "causation_position", "correlation_id", "meta")

    def __init__(
        self, registry: Registry, correlation_id: str | None, causation_position: int | None, meta: Meta
    ) -> None:
        self._encode = registry.encode
        self.correlation_id = correlation_id
        self.causation_position = causation_position
        self.meta = _meta_text(meta)
        self._about_own = about(None, causation_position, self.meta)
        self._about: bytes | None = None
        """With the correlation; encoded when the first event in a stream of somebody else's needs it."""

    def to_new(self, stream_id: str, version: int, event: Event) -> NewEvent:
        """An event as it is sent to the log.

        Raises `PayloadTooLarge`, and what `Registry.encode` raises.
        """
        state = self._encode(event)
        schema = type(event).schema
        if len(state) > STATE_BYTES_MAX:
            raise PayloadTooLarge(f"event {schema.name!r} of {stream_id}", len(state), STATE_BYTES_MAX)
        correlation_id = None if self.correlation_id == stream_id else self.correlation_id
        if correlation_id is None:
            about_columns = self._about_own
        else:
            self._about = about_columns = self._about or about(correlation_id, self.causation_position, self.meta)
        return NewEvent(
            stream_id,
            version,
            schema.name,
            schema.version,
            state,
            correlation_id,
            self.causation_position,
            self.meta,
            digest_about(stream_id, version, schema.name, schema.version, state, about_columns),
        )


class Mapper:
    """Writes and reads the events of one registry.

    `flows`: the choreographed processes among whose events readers find the facts of sagas (see `Translator`).
    """

    def __init__(self, registry: Registry, flows: Iterable[Choreography] = ()) -> None:
        self.registry = registry
        self.flows = tuple(flows)

    def to_new(
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
        return self.envelope(correlation_id, causation_position, meta).to_new(stream_id, version, event)

    def envelope(self, correlation_id: str | None, causation_position: int | None, meta: Meta) -> Envelope:
        """What the events of one append have in common."""
        return Envelope(self.registry, correlation_id, causation_position, meta)

    def to_recorded(self, row: StoredRow) -> Recorded:
        """A stored event, read back. Raises `UnreadableEvent`, naming the place."""
        position, stream_id, version, topic, schema_version, state, correlation_id, causation, meta, at, _ = row
        try:
            return Recorded(
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
