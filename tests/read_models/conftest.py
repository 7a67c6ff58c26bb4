"""Views that follow the log of a shop, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.codec import Codec
from sagaledger.infrastructure.read_models.projector import Projector
from sagaledger.infrastructure.read_models.queries import Queries
from sagaledger.infrastructure.shop.app import APP
from sagaledger.projections.projection import Projection

from ..prepared_ledgers import Create, create_log
from .shop import Shop


@pytest.fixture(scope="session")
def created_by() -> Create:
    """What creates ledgers without views: no test here is about their creation."""
    return create_log


@pytest.fixture
def codec() -> Codec:
    """Reads and writes the reference application's events."""
    return Codec(APP.registry)


@pytest.fixture
def shop(log: Backend) -> Shop:
    """A shop that has received its stock."""
    shop = Shop(log)
    shop.open()
    return shop


MakeProjector = Callable[..., Projector]


@pytest.fixture
def make_projector(log: Backend, codec: Codec) -> Iterator[MakeProjector]:
    """Makes projectors of the reference application's views, or of others, and stops them in the end."""
    made: list[Projector] = []

    def make(*projections: Projection, codec: Codec = codec, **options: int) -> Projector:
        projector = Projector(log, codec, projections or APP.projections, **options)
        made.append(projector)
        return projector

    yield make
    for projector in made:
        projector.stop()


@pytest.fixture
def projector(make_projector: MakeProjector) -> Projector:
    """A projector of the reference application's views."""
    return make_projector()


@pytest.fixture
def queries(log: Backend) -> Queries:
    """Asks the reference application's views."""
    return Queries(log, APP.projections)
