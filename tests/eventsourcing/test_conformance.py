"""The suites that the `eventsourcing` library publishes for its recorders, on every backend, with text ids."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    InfrastructureFactoryTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
    TrackingRecorderTestCase,
)
from eventsourcing.utils import Environment

from sagaledger.infrastructure.event_store.backend import Backend
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.eventsourcing.factory import LedgerFactory
from sagaledger.infrastructure.eventsourcing.recorders import (
    LedgerAggregateRecorder,
    LedgerApplicationRecorder,
    LedgerProcessRecorder,
    LedgerTrackingRecorder,
)

from ..memory_backend.backend import MemoryBackend


class OnSqlite:
    """Each test has a ledger of its own. (The suites are unittest cases, which take no parametrized fixtures.)"""

    url: str

    @pytest.fixture(autouse=True)
    def _url(self, sqlite_url: str) -> None:
        self.url = sqlite_url

    def open_ledger(self) -> Backend:
        return open_backend(self.url, create=True)


class OnPostgres(OnSqlite):
    """The same in PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _url(self, postgres_url: str) -> None:
        self.url = postgres_url


class InMemory:
    """The same in memory; a factory needs a URL, so its suite cannot run here."""

    def open_ledger(self) -> Backend:
        return MemoryBackend()


class WithRecorder:
    """Makes the recorder that a suite examines."""

    recorder_class: ClassVar[type[Any]]

    def create_recorder(self) -> Any:
        log = self.open_ledger()  # type: ignore[attr-defined]
        self.addCleanup(log.close)  # type: ignore[attr-defined]
        return self.recorder_class(log)

    def new_originator_id(self) -> str:
        return f"text-{uuid4()}"


class AggregateSuite(WithRecorder, AggregateRecorderTestCase):
    recorder_class = LedgerAggregateRecorder


class ApplicationSuite(WithRecorder, ApplicationRecorderTestCase):
    recorder_class = LedgerApplicationRecorder

    def test_insert_subscribe(self) -> None:
        """The library calls this one optional; a ledger has subscriptions."""
        self.optional_test_insert_subscribe()


class NonInterleavingSuite(WithRecorder, NonInterleavingNotificationIDsBaseCase):
    recorder_class = LedgerApplicationRecorder


class TrackingSuite(WithRecorder, TrackingRecorderTestCase):
    recorder_class = LedgerTrackingRecorder


class ProcessSuite(WithRecorder, ProcessRecorderTestCase):
    recorder_class = LedgerProcessRecorder


class OtherTrackingRecorder(LedgerTrackingRecorder):
    """A subclass, as an application may have one."""


class FactorySuite(InfrastructureFactoryTestCase[LedgerFactory]):
    url: str

    def setUp(self) -> None:
        open_backend(self.url, create=True).close()
        self.env = Environment(
            "Shop",
            {"PERSISTENCE_MODULE": "sagaledger.infrastructure.eventsourcing.factory", "SAGALEDGER_DB": self.url},
        )
        super().setUp()

    def expected_factory_class(self) -> type[LedgerFactory]:
        return LedgerFactory

    def expected_aggregate_recorder_class(self) -> type[LedgerAggregateRecorder]:
        return LedgerAggregateRecorder

    def expected_application_recorder_class(self) -> type[LedgerApplicationRecorder]:
        return LedgerApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[LedgerTrackingRecorder]:
        return LedgerTrackingRecorder

    def tracking_recorder_subclass(self) -> type[LedgerTrackingRecorder]:
        return OtherTrackingRecorder

    def expected_process_recorder_class(self) -> type[LedgerProcessRecorder]:
        return LedgerProcessRecorder


class TestAggregateRecorderOnSqlite(OnSqlite, AggregateSuite): ...


class TestAggregateRecorderOnPostgres(OnPostgres, AggregateSuite): ...


class TestAggregateRecorderInMemory(InMemory, AggregateSuite): ...


class TestApplicationRecorderOnSqlite(OnSqlite, ApplicationSuite): ...


class TestApplicationRecorderOnPostgres(OnPostgres, ApplicationSuite): ...


class TestApplicationRecorderInMemory(InMemory, ApplicationSuite): ...


class TestNonInterleavingOnSqlite(OnSqlite, NonInterleavingSuite): ...


class TestNonInterleavingOnPostgres(OnPostgres, NonInterleavingSuite): ...


class TestNonInterleavingInMemory(InMemory, NonInterleavingSuite): ...


class TestTrackingRecorderOnSqlite(OnSqlite, TrackingSuite): ...


class TestTrackingRecorderOnPostgres(OnPostgres, TrackingSuite): ...


class TestTrackingRecorderInMemory(InMemory, TrackingSuite): ...


class TestProcessRecorderOnSqlite(OnSqlite, ProcessSuite): ...


class TestProcessRecorderOnPostgres(OnPostgres, ProcessSuite): ...


class TestProcessRecorderInMemory(InMemory, ProcessSuite): ...


class TestFactoryOnSqlite(OnSqlite, FactorySuite): ...


class TestFactoryOnPostgres(OnPostgres, FactorySuite): ...


# So that pytest collects only the classes above, and not the suites that they are made of.
del AggregateSuite, ApplicationSuite, NonInterleavingSuite, TrackingSuite, ProcessSuite, FactorySuite
del AggregateRecorderTestCase, ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
del TrackingRecorderTestCase, ProcessRecorderTestCase, InfrastructureFactoryTestCase


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


def test_an_application_of_the_library_lives_in_a_ledger(url: str) -> None:
    """Its environment is enough for aggregates, snapshots and the notification log."""
    open_backend(url, create=True).close()
    environment = {
        "PERSISTENCE_MODULE": "sagaledger.infrastructure.eventsourcing.factory",
        "SAGALEDGER_DB": url,
        "IS_SNAPSHOTTING_ENABLED": "yes",
    }
    with Application(environment) as application:
        dog = Dog("Fido")
        dog.add_trick("roll over")
        application.save(dog)
        application.take_snapshot(dog.id)
        dog.add_trick("play dead")
        application.save(dog)

        found = application.repository.get(dog.id)

        assert found.tricks == ["roll over", "play dead"]
        assert [each.id for each in application.notification_log.select(1, 10)] == [1, 2, 3]
