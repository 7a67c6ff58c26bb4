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
from .digest import digest
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
        state = self.registry.encode(event)
        schema = type(event).schema
        if len(state) > STATE_BYTES_MAX:
            raise PayloadTooLarge(f"event {schema.name!r} of {stream_id}", len(state), STATE_BYTES_MAX)
        if correlation_id == stream_id:
            correlation_id = None
        sent = (stream_id, version, schema.name, schema.version, state)
        about = (correlation_id, causation_position, _meta_text(meta))
        return NewEvent(*sent, *about, digest(*sent, *about))

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
