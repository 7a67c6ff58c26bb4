"""Steps that are plain functions share a number of threads; one that gets none is not called, and says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from threading import Event, Thread

import pytest

from sagaledger.infrastructure.worker.steps import thread_runner
from sagaledger.infrastructure.worker.steps.thread_runner import NoThreadFree, ThreadRunner

from .conftest import play, until


@pytest.fixture
def release() -> Iterator[Event]:
    """Lets functions that block return; at the end of the test they all do."""
    event = Event()
    yield event
    event.set()


def test_a_function_waits_as_long_as_others_end(release: Event) -> None:
    """Its time begins again with each thread that becomes free: a long queue is no reason to give up."""
    order: list[int] = []

    async def scene() -> None:
        runner = ThreadRunner(1)

        def work(number: int) -> None:
            release.wait(0.5)
            order.append(number)

        await asyncio.gather(*(runner.run(lambda number=number: work(number), 2.0) for number in range(5)))  # type: ignore[misc]

    play(scene())
    assert order == [0, 1, 2, 3, 4]


def test_a_function_that_gets_no_thread_is_not_called(release: Event) -> None:
    """Once none became free for as long as it may take; the message counts those that outlived their time."""
    called: list[bool] = []

    async def scene() -> None:
        runner = ThreadRunner(2)
        endless = asyncio.ensure_future(runner.run(release.wait, None))
        with pytest.raises(TimeoutError):
            await runner.run(release.wait, 0.05)
        with pytest.raises(NoThreadFree, match=r"for 0.05 s: all 2 run steps, 1 of which have outlived"):
            await runner.run(lambda: called.append(True), 0.05)
        release.set()
        await endless
        assert await runner.run(lambda: "called", 5.0) == "called"

    play(scene())
    assert called == []


def test_a_function_that_returned_late_has_left_its_thread(release: Event) -> None:
    """It counts no longer among those that outlived their time."""
    again = Event()

    async def scene() -> None:
        runner = ThreadRunner(1)
        with pytest.raises(TimeoutError):
            await runner.run(release.wait, 0.05)
        release.set()
        await until(lambda: not runner._free.locked())
        endless = asyncio.ensure_future(runner.run(again.wait, None))
        await until(lambda: runner._free.locked())
        with pytest.raises(NoThreadFree, match="all 1 run steps, 0 of which have outlived"):
            await runner.run(lambda: None, 0.05)
        again.set()
        await endless

    play(scene())


def test_a_wait_without_an_end_is_in_the_log(
    release: Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once every so often, however many wait."""
    monkeypatch.setattr(thread_runner, "WARN_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)

    async def scene() -> None:
        runner = ThreadRunner(1)
        running = [asyncio.ensure_future(runner.run(release.wait, None)) for _ in range(4)]
        await until(lambda: len(caplog.messages) == 2)
        release.set()
        await asyncio.gather(*running)

    play(scene())
    first, second = caplog.records
    assert first.getMessage().startswith("3 attempts wait for a thread, and none became free for 0.2 s: all 1 run")
    assert second.created - first.created >= 0.19


def test_a_system_without_threads_fails_a_step_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place of the function that could not be run is free again."""

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scene() -> str:
        runner = ThreadRunner(1)
        with monkeypatch.context() as patched:
            patched.setattr(Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                await runner.run(lambda: "never", 1.0)
        return str(await runner.run(lambda: "called", 1.0))

    assert play(scene()) == "called"
