"""Every backend has the same outcome for every call: the rules in Python, and those in SQL on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagaledger.infrastructure.event_store.append_call import Append, Appended
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend

from ..memory_backend.backend import MemoryBackend
from .conftest import Pen

Written = list[list[list[tuple[str, int]]]]
"""Calls, each of appends, each of events, each a stream and a version."""

EXAMPLES = count(1)

versions = st.sampled_from([1, 1, 1, 2, 2, 3, 4, 0, 5])  # most begin a stream, or continue it
appends = st.lists(st.tuples(st.sampled_from("abc"), versions), max_size=4)
calls = st.lists(st.lists(appends, max_size=5), min_size=1, max_size=4)


@pytest.fixture
def backends(sqlite_url: str, postgres_url: str) -> Iterator[list[Backend]]:
    backends = [open_backend(sqlite_url, create=True), open_backend(postgres_url, create=True), MemoryBackend()]
    yield backends
    for backend in backends:
        backend.close()


@given(calls)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_backends_agree_on_every_outcome(backends: list[Backend], written: Written) -> None:
    """However the appends of a call affect each other, the first time and when the call is sent again."""
    example, pen = next(EXAMPLES), Pen()  # streams of its own for each example, in the same logs
    sent = [
        pen.call(*(Append([pen.event(f"{example}{name}", version) for name, version in append]) for append in call))
        for call in written
    ]

    on_sqlite, on_postgres, in_memory = ([backend.append(call).outcomes for call in sent] for backend in backends)

    assert on_sqlite == on_postgres == in_memory
    for call, outcomes in zip(sent, on_sqlite, strict=True):
        if any(isinstance(each, Appended) and each.last_position >= each.first_position for each in outcomes):
            assert [backend.append(call).outcomes for backend in backends] == [outcomes] * len(backends)
    assert len({backend.head().position for backend in backends}) == 1
