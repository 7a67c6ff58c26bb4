"""The projector follows the log, and each event counts once in each view (G9)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Thread
from time import monotonic, sleep

import pytest
from sqlalchemy import Connection

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.event_row import STATE_BYTES_MAX
from sagaledger.infrastructure.read_models import follower
from sagaledger.infrastructure.read_models.checkpoints import JOURNAL
from sagaledger.infrastructure.read_models.drift import drift
from sagaledger.infrastructure.read_models.event_batch import BATCH_BYTES_MAX, GROWTH_MAX, EventBatchReader
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.read_models.tables import install
from sagaledger.infrastructure.shop.app import APP

from .conftest import MakeProjector
from .shop import Shop

VIEWS = ("sagas", "saga_steps", "interventions", "findings", "dead_letters")
VIEWS += ("orders", "inventory", "payments", "shipments", "loyalty")

FOLLOW = """
import sys
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.shop.app import APP

backend = open_backend(sys.argv[1])
projector = Projector(backend, Codec(APP.registry), APP.projections, batch_events_max=7)
print("following", flush=True)
while True:
    projector.run_once()
"""


def _await(condition: Callable[[], bool], timeout_seconds: float = 30.0) -> None:
    deadline = monotonic() + timeout_seconds
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.005)


def test_it_follows_what_is_written_while_it_runs(shop: Shop, projector: Projector, queries: Queries) -> None:
    """A view is behind for as long as it takes, and no longer."""
    projector.start()

    token = shop.trade(8)

    answer = queries.query("orders", wait_for=token, timeout_seconds=20)
    assert len(answer.rows) == 8
    projector.stop()


def test_who_writes_can_wait_for_views_that_fall_behind(
    shop: Shop, projector: Projector, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for views that are not followed: before the projector starts, and after it stops."""
    for bound in ("PACE_SECONDS_MIN", "PACE_SECONDS_MAX"):
        monkeypatch.setattr(follower, bound, 60.0)  # after its first batch it lets events gather, and falls behind
    token = shop.trade(2)
    projector.keep_up(0.0, timeout_seconds=60.0)
    projector.start()
    queries.query("orders", wait_for=token, timeout_seconds=20)

    with ThreadPoolExecutor(1) as pool:
        _await(lambda: pool.submit(_waits, projector).result())
        call = pool.submit(projector.keep_up, 0.0, timeout_seconds=60.0)
        assert not call.done()
        projector.stop()
        call.result(20.0)

    assert not _waits(projector)


def _waits(projector: Projector) -> bool:
    """Whether it takes the whole of a short time to wait for the views."""
    began = monotonic()
    projector.keep_up(0.0, timeout_seconds=0.05)
    return monotonic() - began >= 0.05


def test_only_a_batch_that_reached_the_head_is_followed_by_a_pause(
    shop: Shop, make_projector: MakeProjector, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog is folded batch upon batch, also where their bytes keep the batches small."""
    for bound in ("PACE_SECONDS_MIN", "PACE_SECONDS_MAX"):
        monkeypatch.setattr(follower, bound, 30.0)
    token = shop.trade(4)

    projector = make_projector(batch_bytes_max=1_000)
    projector.start()

    queries.query("orders", wait_for=token, timeout_seconds=20)
    projector.stop()


def test_a_position_moves_over_events_that_a_view_does_not_fold(
    shop: Shop, projector: Projector, queries: Queries
) -> None:
    """A view that has nothing to fold is not behind the log."""
    head = shop.trade(3)

    projector.catch_up()

    assert {checkpoint.position for checkpoint in queries.checkpoints()} == {head}


def test_two_runners_count_each_event_once(
    shop: Shop, log: Backend, codec: Codec, make_projector: MakeProjector, queries: Queries
) -> None:
    """Both fold the same batches, and only one of them commits each."""
    head = shop.trade(40)
    runners = [make_projector(batch_events_max=11) for _ in range(2)]
    threads = [Thread(target=each.catch_up) for each in runners]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {checkpoint.position for checkpoint in queries.checkpoints()} == {head}
    for view in VIEWS:
        assert drift(queries, log, codec, view).count == 0


def test_of_two_that_follow_one_stands_by_until_it_is_needed(
    shop: Shop, make_projector: MakeProjector, queries: Queries
) -> None:
    """A projector that stands by folds nothing in vain, and takes over when the other one is gone."""
    both = [make_projector(batch_events_max=11) for _ in range(2)]
    for projector in both:
        projector.start()
    _await(lambda: bool(shop.trade(2)) and any(projector.stands_by for projector in both))
    standing_by, folding = sorted(both, key=lambda projector: not projector.stands_by)
    assert not folding.stands_by

    folding.stop()
    token = shop.trade(2)

    queries.query("orders", wait_for=token, timeout_seconds=20)
    assert not standing_by.stands_by


def test_a_runner_that_was_overtaken_writes_nothing(
    shop: Shop,
    log: Backend,
    codec: Codec,
    make_projector: MakeProjector,
    queries: Queries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it commits a batch, another projector reaches the head: the rows that it folded are out of date."""
    head = shop.trade(10)
    slow, quick = make_projector(batch_events_max=11), make_projector()
    install(log.views, APP.projections)
    writing = log.views.writing
    overtaken = False

    def writing_late() -> AbstractContextManager[Connection]:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            quick.catch_up()
        return writing()

    monkeypatch.setattr(log.views, "writing", writing_late)
    slow.run_once()

    assert overtaken
    assert {checkpoint.position for checkpoint in queries.checkpoints()} == {head}
    assert [view for view in VIEWS if drift(queries, log, codec, view).count] == []


def test_a_runner_killed_in_the_middle_leaves_each_event_counted_once(
    shop: Shop, log: Backend, codec: Codec, url: str, make_projector: MakeProjector, queries: Queries
) -> None:
    """Rows and position are committed together, so a kill cannot separate them."""
    head = shop.trade(60)
    queries.query("orders")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", FOLLOW, url], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"following\n"
            before = queries.checkpoint("orders").position
            _await(lambda before=before: queries.checkpoint("orders").position > before or before == head)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        assert all(drift(queries, log, codec, view).count == 0 for view in VIEWS)

    make_projector().catch_up()

    assert queries.checkpoint("orders").position == head
    assert all(drift(queries, log, codec, view).count == 0 for view in VIEWS)


def test_a_batch_is_bounded_by_bytes_and_still_moves(
    shop: Shop, make_projector: MakeProjector, queries: Queries
) -> None:
    """Large events make shorter batches; one larger than the bound is a batch of its own."""
    head = shop.trade(3)

    make_projector(batch_bytes_max=100).catch_up()

    assert {checkpoint.position for checkpoint in queries.checkpoints()} == {head}


def test_batches_of_small_events_soon_become_large(shop: Shop, log: Backend, codec: Codec) -> None:
    """The first read is so short that events of the largest size would fit; small ones lengthen the next reads."""
    head = shop.trade(120)
    reader = EventBatchReader(log, codec, frozenset())

    batches = [reader.read(0, head)]
    while batches[-1].upto < head:
        batches.append(reader.read(batches[-1].upto, head))

    first = BATCH_BYTES_MAX // STATE_BYTES_MAX
    assert head > (1 + GROWTH_MAX) * first
    assert [batch.upto - batch.after for batch in batches[:2]] == [first, GROWTH_MAX * first]


@pytest.mark.parametrize("orders_at_once", [1, 30])
def test_the_journal_has_every_step_of_a_view_end_to_end(
    shop: Shop, log: Backend, make_projector: MakeProjector, orders_at_once: int
) -> None:
    """The entries lead from 0 to its position without a gap, each later than the one before."""
    projector = make_projector(batch_events_max=10)
    for _ in range(3):
        head = shop.trade(orders_at_once)
        projector.catch_up()

    with log.views.writing() as connection:
        steps = connection.execute(
            JOURNAL.select().where(JOURNAL.c.projection == "orders").order_by(JOURNAL.c.to_position)
        ).all()

    assert [step.from_position for step in steps] == [0, *(step.to_position for step in steps[:-1])]
    assert steps[-1].to_position == head
    assert [step.committed_at for step in steps] == sorted(step.committed_at for step in steps)
