"""Asynchronous work of a command, and the signals that end it."""

from __future__ import annotations

import inspect
import warnings

import pytest

from sagaledger.infrastructure.runtime import event_loop
from sagaledger.infrastructure.runtime.interruption import run_to_end


def test_ctrl_c_before_the_work_began_says_nothing_of_coroutines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come while the event loop is being made; then the work is over, and Python has nothing to complain of."""

    async def work() -> None:
        """Never begins."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(event_loop, "_fastest_loop", interrupted)
    pending = work()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyboardInterrupt):
            run_to_end(pending)

    assert inspect.getcoroutinestate(pending) == inspect.CORO_CLOSED
