"""The digest of an event and the hash chain of the log, which show an edit, a reorder or a deletion.

Both are a storage format: neither can change for a log that exists.

**Digest of an event**: SHA-256 over these eight columns as stored, in this order: stream_id, version, topic,
schema_version, state, correlation_id, causation_position, meta. Each column is four bytes of length, then that many
bytes of value:

- text is UTF-8, and `state` is its bytes (the ciphertext, where it is encrypted);
- an integer is 8 bytes, two's complement;
- NULL is the length `FF FF FF FF` and no value.

**Hash of an append**: SHA-256 over the hash of the append before it (32 zero bytes for the first), its last position
(8 bytes), its `recorded_at` (microseconds since 1970-01-01 UTC, 8 bytes), and the digests of its events in order of
position (32 bytes each). All integers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final

GENESIS: Final = bytes(32)
"""The previous hash of the first append, and the hash of an empty log."""

_NULL: Final = b"\xff\xff\xff\xff"
_length = struct.Struct(">I").pack
_integer_column = struct.Struct(">Iq").pack
_position_and_time = struct.Struct(">qq").pack


def digest(
    stream_id: str,
    version: int,
    topic: str,
    schema_version: int,
    state: bytes,
    correlation_id: str | None,
    causation_position: int | None,
    meta: str,
) -> bytes:
    """Return the digest of an event: 32 bytes over every column that its writer sends."""
    return digest_of_encoded(
        text_column(stream_id),
        version,
        type_columns(topic, schema_version),
        state,
        context_columns(correlation_id, causation_position, meta),
    )


def digest_of_encoded(stream: bytes, version: int, type_: bytes, state: bytes, context: bytes) -> bytes:
    """Return the same digest where some columns are encoded already, because the events of an append share them."""
    return sha256(b"".join((stream, _integer_column(8, version), type_, _length(len(state)), state, context))).digest()


def text_column(value: str) -> bytes:
    """Encode a column of text."""
    stored = value.encode()
    return _length(len(stored)) + stored


@lru_cache(maxsize=4096)
def type_columns(topic: str, schema_version: int) -> bytes:
    """Encode the two columns that name an event's type."""
    return text_column(topic) + _integer_column(8, schema_version)


def context_columns(correlation_id: str | None, causation_position: int | None, meta: str) -> bytes:
    """Encode the three columns that say what an event belongs to, what caused it and who wrote it."""
    return b"".join(
        (
            _NULL if correlation_id is None else text_column(correlation_id),
            _NULL if causation_position is None else _integer_column(8, causation_position),
            _meta_column(meta),
        )
    )


_meta_column = lru_cache(maxsize=4096)(text_column)  # a worker writes the same meta on most of its events


def chain(previous_hash: bytes, last_position: int, recorded_us: int, digests: Iterable[bytes]) -> bytes:
    """Return the hash of an append: 32 bytes over the previous hash, its end, its time and its events' digests."""
    return sha256(b"".join((previous_hash, _position_and_time(last_position, recorded_us), *digests))).digest()
