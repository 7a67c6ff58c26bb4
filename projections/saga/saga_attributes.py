"""`saga_attributes`: the values by which sagas are found, one row for each value.

A saga declares functions of its input:

    orders = Saga("orders", input=Order, search={"customer": lambda order: order.customer_id})

The view runs them over the inputs that the log has, so that functions that are declared later find older sagas, too,
once the view is rebuilt. Its rows depend on what the app declares. Therefore an app without search functions does not
have this projection, and its version is the hash of the names of all attributes: a program that declares others leaves
the view alone. The values are data of users. An input that cannot be read any more, because it was erased, for example,
has no values.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Column, Float, Index, MetaData, Table, Text, text

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.definition import Definition
from ...domain.saga.events import SagaStarted
from ...domain.user_code import is_interruption
from ..column_types import UtcDateTime
from ..keys import Key
from ..poison_event import describe
from ..projection import Projection, Row, existing
from ..view_version import version_of_declaration
from .attribute_value import AttributeValue, ValueKind, number_of, time_of, values_of

VIEW: Final = "saga_attributes"
SCHEME: Final = 1
"""Raise it when the table or the meaning of a column changes."""

SAGA_ATTRIBUTES: Final = Table(
    VIEW,
    MetaData(),
    Column("saga_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("number", Float),
    Column("time", UtcDateTime),
    Index("saga_attributes_value", "name", "value"),
    Index(
        "saga_attributes_number",
        "name",
        "number",
        postgresql_where=text("number IS NOT NULL"),
        sqlite_where=text("number IS NOT NULL"),
    ),
    Index(
        "saga_attributes_time",
        "name",
        "time",
        postgresql_where=text('"time" IS NOT NULL'),
        sqlite_where=text('"time" IS NOT NULL'),
    ),
)

_Searched: TypeAlias = Mapping[tuple[str, int], Definition]
"""The definitions that have search functions, by name and version."""

_logger = logging.getLogger(__name__)


def search_projection(definitions: Iterable[Definition]) -> Projection | None:
    """Returns the projection of the attributes that these definitions declare; None if they declare none."""
    searched = {(each.name, each.version): each for each in definitions if each.search}
    if not searched:
        return None
    reader = _AttributeReader(searched)
    projection = Projection(
        VIEW, version=version_of_declaration(_declaration(searched)), table=SAGA_ATTRIBUTES, initial=_row
    )

    @projection.on(SagaStarted, key=reader.keys)
    def started(row: Row | None, _: SagaStarted, __: RecordedEvent) -> Row:
        """The saga has this value."""
        return existing(row)

    return projection


def _declaration(searched: _Searched) -> str:
    names = [[*key, sorted(definition.search)] for key, definition in sorted(searched.items())]
    return msgspec.json.encode([SCHEME, names]).decode()


def _row(saga_id: str, name: str, value: str, kind: str) -> Row:
    found = AttributeValue(value, ValueKind(kind))
    return {
        "saga_id": saga_id,
        "name": name,
        "value": value,
        "kind": kind,
        "number": number_of(found),
        "time": time_of(found),
    }


class _AttributeReader:
    """Runs the search functions. What one of them raises leaves its attribute out, and is logged once."""

    def __init__(self, searched: _Searched) -> None:
        self._searched = searched
        self._logged: set[tuple[str, int, str]] = set()

    def keys(self, recorded: Any) -> list[Key] | None:
        """Returns the keys of the rows that a start of a saga makes."""
        event: SagaStarted = recorded.event
        definition = self._searched.get((event.definition, event.definition_version))
        if definition is None:
            return None
        try:
            value = definition.read_input(event.input)
        except BaseException as error:  # noqa: BLE001 -- whatever it is leaves out its saga's attributes
            self._log(definition, "input", recorded, error)
            return None
        return [
            (recorded.stream_id, name, found.text, found.kind.value)
            for name in definition.search
            for found in self._values(definition, name, value, recorded)
        ]

    def _values(self, definition: Definition, name: str, value: Any, recorded: RecordedEvent) -> list[AttributeValue]:
        try:
            return values_of(definition.search[name](value))
        except BaseException as error:  # noqa: BLE001 -- whatever it is leaves out its attribute
            self._log(definition, f"search attribute {name!r}", recorded, error)
            return []

    def _log(self, definition: Definition, what: str, recorded: RecordedEvent, error: BaseException) -> None:
        """Log the first error of each function. Raises an error that is an interruption."""
        if is_interruption(error):
            raise error
        which = (definition.name, definition.version, what)
        if which not in self._logged:
            self._logged.add(which)
            _logger.warning(
                "saga %r version %d: the %s of %r cannot be read, and it is not found by it: %s (logged once; "
                "correct the function, then run `sagaledger projections rebuild %s`)",
                definition.name,
                definition.version,
                what,
                recorded.stream_id,
                describe(error),
                VIEW,
            )
