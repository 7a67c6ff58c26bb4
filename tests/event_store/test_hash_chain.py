"""The digest and the chain: a storage format, fixed for ever."""

from __future__ import annotations

import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagaledger.infrastructure.event_store.hash_chain import GENESIS, chain, digest

COLUMNS = ("fulfil_order-1", 3, "StepStarted", 1, b'{"at":"2026-01-01T00:00:00Z"}', None, 17, '{"actor":"Zo\u00eb"}')

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integer = st.integers(-(2**63), 2**63 - 1)
Columns = tuple[str, int, str, int, bytes, str | None, int | None, str]
columns = st.tuples(text, integer, text, integer, st.binary(max_size=8), st.none() | text, st.none() | integer, text)


def described(*values: object) -> bytes:
    """The format as the documentation describes it, written the plainest way."""
    parts = []
    for value in values:
        match value:
            case None:
                parts.append(b"\xff\xff\xff\xff")
                continue
            case str():
                stored = value.encode()
            case int():
                stored = struct.pack(">q", value)
            case bytes():
                stored = value
        parts.append(struct.pack(">I", len(stored)) + stored)
    return b"".join(parts)


def test_the_format_does_not_change() -> None:
    """Every ledger ever written depends on these values."""
    assert digest(*COLUMNS).hex() == "68c9c991fca33f1e0844f31e0d02ade6cff3ffde98372c653978ef866c914a09"
    link = chain(GENESIS, 2, 1_767_225_600_000_001, [digest(*COLUMNS)] * 2)
    assert link.hex() == "3b1fbbb2fd809b2873dba04e2a40b1eed096970018add1a51c1d54c2a6af9122"


@given(columns)
def test_a_digest_covers_each_column_as_described(values: Columns) -> None:
    """The fast way and the plain way agree."""
    assert digest(*values) == sha256(described(*values)).digest()


@given(columns, columns)
def test_different_events_have_different_digests(
    one: Columns,
    other: Columns,
) -> None:
    """No two events read as the same bytes, wherever one column ends and the next begins."""
    assert (digest(*one) == digest(*other)) == (one == other)


@pytest.mark.parametrize(("stream_id", "topic"), [("a", "bc"), ("ab", "c"), ("abc", "")])
def test_a_letter_cannot_move_to_the_next_column(stream_id: str, topic: str) -> None:
    """The lengths keep the columns apart."""
    moved = digest(stream_id, 1, topic, 1, b"", None, None, "")

    assert moved not in {
        digest(other, 1, name, 1, b"", None, None, "")
        for other, name in [("a", "bc"), ("ab", "c"), ("abc", "")]
        if other != stream_id
    }


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=5, unique=True))
def test_a_link_depends_on_the_order_of_its_events(digests: list[bytes]) -> None:
    """And on the one before it, the position and the time."""
    link = chain(GENESIS, 9, 1, digests)

    assert link != chain(GENESIS, 9, 1, digests[::-1])
    assert link != chain(b"\x01" * 32, 9, 1, digests)
    assert link != chain(GENESIS, 10, 1, digests)
    assert link != chain(GENESIS, 9, 2, digests)
