"""A receiver of spans, and telemetry that sends them there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from sagaledger.infrastructure.telemetry.telemetry import Telemetry

from ..prepared_ledgers import Create, create_shop
from .receiver import Receiver, receiving

T = TypeVar("T")
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates ledgers of the shop: no test here is about their creation."""
    return create_shop


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver of spans, which the standard variables name."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


@pytest.fixture
def telemetry(receiver: Receiver) -> Iterator[Telemetry]:  # noqa: ARG001 -- the variables name it
    """Telemetry that sends its spans to the receiver; `close` sends the last ones."""
    telemetry = Telemetry()
    assert telemetry.spans is not None
    yield telemetry
    telemetry.close()


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run a scene on an event loop; fails after `PATIENCE_SECONDS`."""

    async def limited() -> T:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await scene

    return asyncio.run(limited())
