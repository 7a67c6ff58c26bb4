"""A projection: a table, and what each kind of event does to its rows.

    orders = Projection("orders", version=1, table=Table("orders", MetaData(), ...))

    @orders.on(OrderCompleted, key=lambda recorded: recorded.event.order_id)
    def completed(row: Row | None, event: OrderCompleted, recorded: RecordedEvent) -> Row:
        return {**existing(row), "status": "completed"}

A handler is a pure function: it takes a row and an event, and returns the row that replaces it. A batch therefore folds
in memory, a rebuild has no side effects, and the same events always make the same table.

Handlers and key functions are code of users. Whatever one of them raises or returns concerns its own projection alone:
it becomes a `PoisonEvent`, and that view stops in front of the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import Integer, String, Table

from ..domain.errors import DefinitionError, SagaledgerError
from ..domain.event import Event
from ..domain.own_copy import own_copy
from ..domain.recorded_event import RecordedEvent
from ..domain.user_code import is_interruption
from .column_values import holds_immutable_values, refuse_bytes
from .keys import Key, KeyOf, KeyRules, MatchingRows, RowsWhere
from .poison_event import PoisonEvent, describe
from .private_events import private

Row: TypeAlias = dict[str, Any]
"""A row of a view, by column name. A handler receives one of its own, which it may change and return."""
Handler: TypeAlias = Callable[[Any, Any, RecordedEvent], Row | None]
"""Takes the row (None if there is none), the event, and the event as recorded, which has its position and metadata.

Returns the row after the event, or None to delete it."""
Touch: TypeAlias = tuple[Handler, Key | RowsWhere, RecordedEvent]
"""An event to fold into rows: the handler, the key of the row or what finds the rows, the event. A batch makes
thousands of these tuples."""
H = TypeVar("H", bound=Handler)

NAME_CHARACTERS_MAX = 40
"""PostgreSQL allows 63: the rest is for the names of a view's indexes and of the table that a rebuild fills."""
_COMPARABLE = frozenset({str, int, tuple})  # a key of these types is checked once in a batch


class MissingRow(SagaledgerError):
    """An event needs a row that the view does not have."""


class Change(NamedTuple):
    """The rows to write after a batch: each changed row once, as the last event left it."""

    written: list[Row]
    deleted: list[Key]


def existing(row: Row | None) -> Row:
    """Returns the row that an earlier event must have made. Raises `MissingRow` if there is none."""
    if row is None:
        raise MissingRow("its row does not exist: no earlier event made it")
    return row


class Projection:
    """One view: a table, which has the view's name, and the handlers that fold events into its rows.

    `version`: raise it when the table or a handler changes; a ledger then builds that version beside the older one.
    `initial`: takes the values of a key, and returns the row that a handler receives where there is none yet.
    `finish`: takes each row that a batch changed, and returns the row to store. It serves for columns that are
    computed from others and need not be computed after every event.

    Raises `DefinitionError` for a table that cannot be a view.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        table: Table,
        initial: Callable[..., Row] | None = None,
        finish: Callable[[Row], Row] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.table = table
        self.initial = initial
        self.finish = finish
        self.columns: tuple[str, ...] = tuple(column.name for column in table.columns)
        self.key_columns: tuple[str, ...] = tuple(column.name for column in table.primary_key.columns)
        self._validate()
        self._only_key_column = self.key_columns[0] if len(self.key_columns) == 1 else None
        self._key_of: Callable[[Row], Key] = itemgetter(*self.key_columns)
        self._keys = KeyRules(table)
        self._mutable = tuple(column.name for column in table.columns if not holds_immutable_values(column))
        self._blank: Row = dict.fromkeys(self.columns)
        self._handlers: dict[type[Event], tuple[Handler, KeyOf]] = {}

    def on(self, *types: type[Event], key: KeyOf) -> Callable[[H], H]:
        """Declares the handler of events of these types; `key` returns the keys of the rows that an event touches.

        Raises `DefinitionError` if the projection already handles one of them.
        """

        def declare(handler: H) -> H:
            for type_ in types:
                if type_ in self._handlers:
                    raise DefinitionError(
                        f"projection {self.name!r} already handles {type_.schema.name}: "
                        "do in one handler all that the event does to a row"
                    )
                self._handlers[type_] = (handler, key)
            return handler

        return declare

    @property
    def topics(self) -> frozenset[str]:
        """The stored names of the events that the projection folds."""
        return frozenset(type_.schema.name for type_ in self._handlers)

    @property
    def events(self) -> tuple[type[Event], ...]:
        """The types of the events that the projection folds."""
        return tuple(self._handlers)

    def touches(self, events: Iterable[RecordedEvent]) -> list[Touch]:
        """Returns, in order, which events touch which rows. Raises `PoisonEvent` at an event whose `key` fails."""
        touches: list[Touch] = []
        handlers = self._handlers
        checked: dict[Any, Key] = {}
        for recorded in events:
            entry = handlers.get(type(recorded.event))
            if entry is None:
                continue
            handler, key_of = entry
            try:
                recorded = private(recorded)
                keys = key_of(recorded)
                if keys is None:
                    continue
                for returned in keys if isinstance(keys, list) else (keys,):
                    if isinstance(returned, RowsWhere):
                        touches.append((handler, self._keys.checked_rows(returned), recorded))
                        continue
                    key = checked.get(returned) if type(returned) in _COMPARABLE else None
                    if key is None:
                        key = self._keys.checked(returned)
                        checked[returned] = key
                    touches.append((handler, key, recorded))
            except BaseException as error:
                raise self._poison(recorded, error) from error
        return touches

    def fold(self, touches: Sequence[Touch], rows: Mapping[Key, Row]) -> Change:
        """Returns what a batch changes, given the rows that exist of those that it touches.

        Raises `PoisonEvent` at the first event whose handler fails or returns a row that the table cannot hold.
        """
        folded: dict[Key, Row | None] = dict(rows)
        after = self._after
        matching = MatchingRows((key for _, key, _ in touches if isinstance(key, RowsWhere)), rows)
        for handler, key, recorded in touches:
            try:
                if isinstance(key, tuple):
                    folded[key] = after(handler, key, folded.get(key), recorded)
                    matching.put(key, folded[key])
                    continue
                for found in matching.keys(key):
                    folded[found] = after(handler, found, folded[found], recorded)
                    matching.put(found, folded[found])
            except BaseException as error:
                raise self._poison(recorded, error) from error
        changed = [(key, row) for key, row in folded.items() if row is not None and row is not rows.get(key)]
        deleted = [key for key, row in folded.items() if row is None and key in rows]
        if self.finish is None:
            return Change([row for _, row in changed], deleted)
        return Change([self._finished(key, row, touches, self.finish) for key, row in changed], deleted)

    def _after(self, handler: Handler, key: Key, before: Row | None, recorded: RecordedEvent) -> Row | None:
        """Returns the row after an event: `before` itself if the event changes nothing of it.

        The handler receives a copy, so that it may change it: the row before is needed to see what changed.
        """
        given: Row | None = None
        if before is not None:
            given = dict(before)
            for name in self._mutable:
                given[name] = own_copy(before[name])
        elif self.initial is not None:
            given = dict(self.initial(*key))
        row = handler(given, recorded.event, recorded)
        if row is None:
            return None
        if row is given and row == before:
            return before
        return row if before is not None and self._is_complete(key, row) else self._complete(key, row)

    def _finished(self, key: Key, row: Row, touches: Sequence[Touch], finish: Callable[[Row], Row]) -> Row:
        """Returns the row to store. Raises `PoisonEvent`, which names the row's latest event, if that fails."""
        try:
            row = finish(row)
            return row if self._is_complete(key, row) else self._complete(key, row)
        except BaseException as error:
            latest = next(
                recorded
                for _, touched, recorded in reversed(touches)
                if touched == key or (isinstance(touched, RowsWhere) and touched.first == key[0])
            )
            raise self._poison(latest, error) from error

    def _is_complete(self, key: Key, row: Row) -> bool:
        """Whether a row has as many columns as the table, and this key."""
        if type(row) is not dict or len(row) != len(self.columns):
            return False
        only = self._only_key_column
        return row.get(only) == key[0] if only is not None else self._key_of(row) == key

    def _complete(self, key: Key, row: Row) -> Row:
        """Returns the row with a value for every column. Raises `DefinitionError` if the table cannot hold it."""
        if not isinstance(row, Mapping):
            raise DefinitionError(
                f"its handler returned a value of type {type(row).__name__}: return a row (a dict), "
                "or None to delete the row"
            )
        complete = {**self._blank, **row}
        if len(complete) != len(self.columns):
            unknown = ", ".join(sorted(str(name) for name in row.keys() - self._blank.keys()))
            raise DefinitionError(f"its handler returned {unknown}, for which view {self.name!r} has no column")
        key_of_row = tuple([complete[column] for column in self.key_columns])
        if key_of_row == key:
            return complete
        if self._keys.checked(key_of_row) != key:
            raise DefinitionError(
                f"its handler returned a row with another key than {key!r}: a row keeps its key, and a dict that "
                "several rows share is none of theirs"
            )
        return complete | dict(zip(self.key_columns, key, strict=True))

    def _poison(self, recorded: RecordedEvent, error: BaseException) -> BaseException:
        """Returns the error to raise instead of one that the projection's own code raised."""
        if is_interruption(error):
            return error
        return PoisonEvent(self.name, recorded.position, type(recorded.event).schema.name, describe(error))

    def _validate(self) -> None:
        where = f"projection {self.name!r}"
        if self.table.name != self.name:
            raise DefinitionError(f"{where} has a table named {self.table.name!r}: give it the name of the projection")
        if not self.name.isidentifier() or "__" in self.name or len(self.name) > NAME_CHARACTERS_MAX:
            raise DefinitionError(
                f"{where} needs a name of letters, digits and single underscores, "
                f"of at most {NAME_CHARACTERS_MAX} characters"
            )
        if not self.key_columns:
            raise DefinitionError(f"{where} needs a primary key in its table: it says which row an event touches")
        refuse_bytes(self.table)
        for column in self.table.primary_key.columns:
            if not isinstance(column.type, String | Integer):
                raise DefinitionError(
                    f"{where} has the key column {column.name!r} of type {column.type!r}: use text or an integer"
                )
