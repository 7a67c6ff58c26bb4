"""A projection: a table, and what each kind of event does to its rows.

    orders = Projection("orders", version=1, table=Table("orders", MetaData(), ...))

    @orders.on(OrderCompleted, key=lambda recorded: recorded.event.order_id)
    def completed(row: Row | None, event: OrderCompleted, recorded: Recorded) -> Row:
        return {**existing(row), "status": "completed"}

A handler is a pure function from a row to the row that takes its place, so that a batch folds in memory, a rebuild
has no side effects, and the same events always give the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import Integer, String, Table

from ..domain.errors import DefinitionError, SagaledgerError
from ..domain.event import Event
from ..domain.recorded_event import RecordedEvent

Row: TypeAlias = dict[str, Any]
"""A row of a view, by column name. A handler gives a new one, and leaves the one that it was given as it is."""
Key: TypeAlias = tuple[Any, ...]
"""A row's primary key, in the order of its columns."""
Handler: TypeAlias = Callable[[Any, Any, RecordedEvent], Row | None]
"""Given the row as it stands (None: there is none), the event, and what the log knows of it: the row as the event
leaves it (None: there is none any more)."""
KeyOf: TypeAlias = Callable[[Any], Any]
"""Which rows a recorded event touches: one value, or a tuple for a composite key; a list for several; None for none."""
Touch: TypeAlias = tuple[Handler, Key, RecordedEvent]
"""One event meeting one row: what to do, which row, the event. A plain tuple, of which a batch makes thousands."""
H = TypeVar("H", bound=Handler)

NAME_CHARACTERS_MAX = 40
"""Leaves room, within PostgreSQL's 63, for the names of a view's indexes and of its table while it is rebuilt."""


class PoisonEvent(SagaledgerError):
    """An event cannot be folded into a view, which therefore stops in front of it."""

    def __init__(self, projection: str, position: int, topic: str, cause: str) -> None:
        super().__init__(
            f"projection {projection!r} cannot fold event {position} ({topic}): {cause}; "
            f"it stands at position {position - 1} until its code or the event is understood, and it is resumed"
        )
        self.projection = projection
        self.position = position
        self.topic = topic
        self.cause = cause


class MissingRow(SagaledgerError):
    """An event is about a row that the view does not have."""


class Change(NamedTuple):
    """What a batch of events leaves to be written: each changed row once, as the last event left it."""

    written: list[Row]
    deleted: list[Key]


def existing(row: Row | None) -> Row:
    """The row, for an event that makes sense only after another made it. Raises `MissingRow` if there is none."""
    if row is None:
        raise MissingRow("there is no row for it: the event that makes one did not come before")
    return row


class Projection:
    """One view: its table, whose name is the view's, and the handlers that fold events into it.

    `version`: raise it when the table or a handler changes, so that a ledger knows to rebuild the view.
    `initial`: makes the row that a handler is given where there is none yet, from the values of its key.

    Raises `DefinitionError` for a table that cannot be a view.
    """

    def __init__(self, name: str, *, version: int, table: Table, initial: Callable[..., Row] | None = None) -> None:
        self.name = name
        self.version = version
        self.table = table
        self.initial = initial
        self.columns: tuple[str, ...] = tuple(column.name for column in table.columns)
        self.key_columns: tuple[str, ...] = tuple(column.name for column in table.primary_key.columns)
        key_columns = self.key_columns
        self._key_of = itemgetter(*key_columns) if len(key_columns) > 1 else lambda row: (row[key_columns[0]],)
        self._blank: Row = dict.fromkeys(self.columns)
        self._handlers: dict[type[Event], tuple[Handler, KeyOf]] = {}
        self._refuse_unworkable()

    def on(self, *types: type[Event], key: KeyOf) -> Callable[[H], H]:
        """Declare what events of these types do to the rows that `key` names.

        Raises `DefinitionError` if the projection already handles one of them.
        """

        def declare(handler: H) -> H:
            for type_ in types:
                if type_ in self._handlers:
                    raise DefinitionError(
                        f"projection {self.name!r} already handles {type_.schema.name}: "
                        "one handler says everything that an event does to a row"
                    )
                self._handlers[type_] = (handler, key)
            return handler

        return declare

    @property
    def topics(self) -> frozenset[str]:
        """The stored names of the events that it folds."""
        return frozenset(type_.schema.name for type_ in self._handlers)

    @property
    def events(self) -> tuple[type[Event], ...]:
        """The types of the events that it folds."""
        return tuple(self._handlers)

    def touches(self, events: Iterable[RecordedEvent]) -> list[Touch]:
        """Which rows a batch touches, in order. Raises `PoisonEvent` where a key cannot be had."""
        touches: list[Touch] = []
        handlers = self._handlers
        for recorded in events:
            entry = handlers.get(type(recorded.event))
            if entry is None:
                continue
            handler, key_of = entry
            try:
                keys = key_of(recorded)
            except Exception as error:
                raise self._poison(recorded, error) from error
            if isinstance(keys, list):
                touches += [(handler, key if isinstance(key, tuple) else (key,), recorded) for key in keys]
            elif keys is not None:
                touches.append((handler, keys if isinstance(keys, tuple) else (keys,), recorded))
        return touches

    def fold(self, touches: Iterable[Touch], rows: Mapping[Key, Row]) -> Change:
        """Fold a batch into the rows that it touches, of which `rows` has those that exist.

        Raises `PoisonEvent` at the first event whose handler fails or gives what the table does not take.
        """
        folded: dict[Key, Row | None] = dict(rows)
        width = len(self.columns)
        initial = self.initial
        for handler, key, recorded in touches:
            before = folded.get(key)
            try:
                given = before if before is not None or initial is None else initial(*key)
                after = handler(given, recorded.event, recorded)
                if after is not None and (before is None or len(after) != width):
                    after = self._complete(key, after)
            except Exception as error:
                raise self._poison(recorded, error) from error
            folded[key] = after
        return Change(
            [row for key, row in folded.items() if row is not None and row is not rows.get(key)],
            [key for key, row in folded.items() if row is None and key in rows],
        )

    def _complete(self, key: Key, row: Row) -> Row:
        """A row with a value for every column. Raises `DefinitionError` for one that is not of this table."""
        complete = {**self._blank, **row}
        if len(complete) != len(self.columns):
            unknown = ", ".join(sorted(row.keys() - self._blank.keys()))
            raise DefinitionError(f"its handler gave {unknown}, which view {self.name!r} has no column for")
        if self._key_of(complete) != key:
            raise DefinitionError(f"its handler gave a row of another key than {key!r}")
        return complete

    def _poison(self, recorded: RecordedEvent, error: Exception) -> PoisonEvent:
        cause = str(error) if isinstance(error, SagaledgerError) else f"{type(error).__name__}: {error}"
        return PoisonEvent(self.name, recorded.position, type(recorded.event).schema.name, cause)

    def _refuse_unworkable(self) -> None:
        where = f"projection {self.name!r}"
        if self.table.name != self.name:
            raise DefinitionError(f"{where} has a table named {self.table.name!r}: a view's table bears its name")
        if not self.name.isidentifier() or "__" in self.name or len(self.name) > NAME_CHARACTERS_MAX:
            raise DefinitionError(
                f"{where} needs a name of letters, digits and single underscores, at most {NAME_CHARACTERS_MAX} long"
            )
        if not self.key_columns:
            raise DefinitionError(f"{where} needs a primary key: it says which row an event touches")
        for column in self.table.primary_key.columns:
            if not isinstance(column.type, String | Integer):
                raise DefinitionError(f"{where} has the key column {column.name!r}, which is neither text nor integer")
