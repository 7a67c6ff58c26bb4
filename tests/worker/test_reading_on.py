"""A stream cache does not read certain state again, and drops speculative state that was not written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from sagaledger.domain.recorded_event import Meta
from sagaledger.domain.shop import ReceiveStock
from sagaledger.infrastructure.event_store.append_call import Append, AppendCall, Appended, Conflict
from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.event_log import Snapshot
from sagaledger.infrastructure.event_store.event_row import StoredRow
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.stream_cache import AppendBuilder, StreamCache
from sagaledger.infrastructure.shop.app import APP

from .conftest import OpenLedger

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)
STOCK = "stock-71053"


class _Watched:
    """A ledger's log that records the versions after which streams were read."""

    def __init__(self, log: Backend) -> None:
        self._log = log
        self.read_after: list[int] = []

    def streams(self, after: Sequence[tuple[str, int]]) -> list[StoredRow]:
        self.read_after += [version for _, version in after]
        return self._log.streams(after)

    def snapshots(self, stream_ids: Sequence[str]) -> list[Snapshot]:
        return self._log.snapshots(stream_ids)

    def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        self._log.put_snapshots(snapshots)

    def digests(self, ends: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        return self._log.digests(ends)


def _deliver(stream_cache: StreamCache) -> AppendBuilder:
    """Returns the draft of a delivery, staged in the cache."""

    def build() -> AppendBuilder:
        draft = stream_cache.draft("delivery", Meta())
        draft.handle([ReceiveStock("71053", 5)], NOON)
        return draft

    [draft] = stream_cache.build([build])
    stream_cache.stage(draft.overlay)
    return draft


def _append(ledger: Ledger, append: Append) -> object:
    (outcome,) = ledger.backend.append(AppendCall(uuid4(), [append])).outcomes
    return outcome


def _stream_cache(ledger: Ledger) -> tuple[StreamCache, _Watched]:
    watched = _Watched(ledger.backend)
    return StreamCache(APP, watched, ledger.context.codec), watched


def test_a_contested_stream_is_read_on_from_what_is_certain(open_ledger: OpenLedger) -> None:
    """Two writers take turns: each reads what the other wrote, and no event twice."""
    ledger = open_ledger(APP)
    (ours, watched), (theirs, _) = _stream_cache(ledger), _stream_cache(ledger)
    first = _deliver(ours)
    assert isinstance(_append(ledger, first.append()), Appended)
    ours.confirm(first.overlay)
    second = _deliver(ours)  # staged, and too late
    assert isinstance(_append(ledger, _deliver(theirs).append()), Appended)
    conflict = _append(ledger, second.append())
    assert isinstance(conflict, Conflict)
    watched.read_after.clear()

    ours.evict(second.overlay, conflict)
    third = _deliver(ours)

    assert watched.read_after == [first.overlay[STOCK].version]
    assert isinstance(_append(ledger, third.append()), Appended)


def test_what_was_not_confirmed_is_not_certain(open_ledger: OpenLedger) -> None:
    """A draft that was staged and never written leaves nothing in the cache."""
    ledger = open_ledger(APP)
    ours, watched = _stream_cache(ledger)
    unwritten = _deliver(ours)
    watched.read_after.clear()

    ours.evict(unwritten.overlay)
    written = _deliver(ours)

    assert watched.read_after == [0]
    assert written.overlay == unwritten.overlay
    assert isinstance(_append(ledger, written.append()), Appended)


def test_a_stream_that_became_shorter_is_read_again(open_ledger: OpenLedger) -> None:
    """The database lost acknowledged events, as when a lagging replica takes over: the cache drops everything."""
    ledger = open_ledger(APP)
    ours, watched = _stream_cache(ledger)
    lost = _deliver(ours)
    ours.confirm(lost.overlay)  # acknowledged, and then lost
    on_top = _deliver(ours)
    conflict = _append(ledger, on_top.append())
    assert isinstance(conflict, Conflict)
    watched.read_after.clear()

    ours.evict(on_top.overlay, conflict)
    again = _deliver(ours)

    assert watched.read_after == [0]
    assert isinstance(_append(ledger, again.append()), Appended)
