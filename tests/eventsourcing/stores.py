"""Stores of the `eventsourcing` library, made by its own recorders, to be taken over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class Kennel(Application):
    """Dogs. Its SQLite recorders name their table `stored_events`, those of PostgreSQL `kennel_events`."""

    snapshotting_intervals = {Dog: 4}  # noqa: RUF012  # the library declares it so


def environment_of(url: str, **more: str) -> dict[str, str]:
    """Return the environment in which the library's own recorders use the database of a URL."""
    if url.startswith("sqlite"):
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": url.removeprefix("sqlite:///"), **more}
    parts = urlsplit(url)
    parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": parameters["host"],
        "POSTGRES_PORT": str(parts.port or 5432),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": "",
        "POSTGRES_SCHEMA": parameters["options"].removeprefix("-csearch_path="),
        **more,
    }


@contextmanager
def kennel(environment: Mapping[str, str]) -> Iterator[Kennel]:
    """Open the application."""
    with Kennel(environment) as opened:
        yield opened


@contextmanager
def recorder(environment: Mapping[str, str]) -> Iterator[ApplicationRecorder]:
    """Open the application's recorder alone."""
    factory = InfrastructureFactory.construct(Environment("Kennel", environment))
    try:
        yield factory.application_recorder()
    finally:
        factory.close()


def many_events(dogs: int, tricks: int) -> list[StoredEvent]:
    """Return the events of so many dogs, interleaved: first every dog's first, then every dog's second, …"""
    with Kennel() as application:
        by_dog: list[Sequence[StoredEvent]] = []
        for number in range(dogs):
            dog = Dog(f"dog {number}")
            for trick in range(tricks):
                dog.add_trick(f"trick {trick}")
            by_dog.append([application.mapper.to_stored_event(each) for each in dog.collect_events()])
    return [events[version] for version in range(tricks + 1) for events in by_dog]


def file_url(folder: Path) -> str:
    """Return the URL of a SQLite store."""
    return f"sqlite:///{folder / 'kennel.db'}"
