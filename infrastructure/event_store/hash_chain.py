"""The digest of an event and the hash chain of the log: what makes an edit, a reorder or a deletion show.

Both are a storage format, written here once and for ever.

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
"""What stands for the previous hash in the first append, and is the hash of an empty log."""

_NULL: Final = b"\xff\xff\xff\xff"
_length = struct.Struct(">I").pack
_integer = struct.Struct(">Iq").pack
_link = struct.Struct(">qq").pack


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
    """The digest of an event: 32 bytes over every column that its writer sends."""
    return digest_of(
        text(stream_id), version, kind(topic, schema_version), state, about(correlation_id, causation_position, meta)
    )


def digest_of(stream: bytes, version: int, kind: bytes, state: bytes, about: bytes) -> bytes:
    """The same of columns that are encoded before, by the functions of those names: a batch's events share them."""
    return sha256(b"".join((stream, _integer(8, version), kind, _length(len(state)), state, about))).digest()


def about(correlation_id: str | None, causation_position: int | None, meta: str) -> bytes:
    """The columns that say what an event belongs to, what caused it and who wrote it, encoded."""
    return b"".join(
        (
            _NULL if correlation_id is None else text(correlation_id),
            _NULL if causation_position is None else _integer(8, causation_position),
            _often(meta),
        )
    )


def text(value: str) -> bytes:
    """A column of text, encoded."""
    stored = value.encode()
    return _length(len(stored)) + stored


_often = lru_cache(maxsize=4096)(text)
"""Of texts that stand on many events."""


@lru_cache(maxsize=4096)
def kind(topic: str, schema_version: int) -> bytes:
    """The columns that say what kind of event it is, encoded."""
    return text(topic) + _integer(8, schema_version)


def chain(previous_hash: bytes, last_position: int, recorded_at_microseconds: int, digests: Iterable[bytes]) -> bytes:
    """The hash of an append: 32 bytes over the one before it, where and when it ends, and its events' digests."""
    return sha256(b"".join((previous_hash, _link(last_position, recorded_at_microseconds), *digests))).digest()
