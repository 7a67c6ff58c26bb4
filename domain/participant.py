"""Participants: event-sourced services in the same ledger, to which local steps send commands.

A participant is a category of streams. The state of a stream is the fold of its events. A command goes to one stream;
deciding it against that stream's state yields events, or a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from .errors import StepRejected
from .event import Event
from .names import check_prefix, check_version
from .own_copy import own_copy

UUID_CATEGORY: Final = "uuid"
"""The category of the participant whose streams are named by a UUID alone, and have no prefix."""

S = TypeVar("S")


class Command(Struct, frozen=True):
    """A request to a participant. Commands are decided and never stored."""


class Refused(StepRejected):
    """A participant refuses a command. `events` are recorded, and nothing else of the step is."""

    def __init__(self, message: str, *events: Event) -> None:
        super().__init__(message)
        self.events = events


class Participant(Generic[S]):
    """A category of streams: how their events fold, and how a command to one of them is decided.

    - `category`: the prefix of its stream ids: `stock` for `stock-85123A`;
    - `initial`: the state of a stream without events;
    - `events`: the types it writes; `evolve(state, event)` folds one and never raises;
    - `commands`: each command type it handles, with the function that returns the key of the stream it goes to;
    - `decide(state, command, at)`: returns the events that the command leads to (none: there is nothing to do), or
      raises `Refused`;
    - `state_type`: the type of a state, which msgspec must be able to decode: snapshots are stored;
    - `version`: raise it when `evolve` makes another state of the same events, so that no older snapshot counts.
    """

    keeps_snapshots = True
    """Whether states are stored, so that a long stream need not be read from its start."""

    def __init__(
        self,
        category: str,
        *,
        initial: S,
        state_type: type[S],
        events: Iterable[type[Event]],
        commands: dict[type[Command], Callable[[Any], str]],
        decide: Callable[[S, Any, datetime], Sequence[Event]],
        evolve: Callable[[S, Event], S],
        version: int = 1,
    ) -> None:
        check_prefix(category, "participant category")
        check_version(version, f"participant {category!r}")
        self.category = category
        self.initial = initial
        self.state_type = state_type
        self.events = tuple(events)
        self.commands = dict(commands)
        self.decide = decide
        self.evolve = evolve
        self.version = version

    def stream_of(self, command: Command) -> str:
        """Returns the id of the stream that a command goes to."""
        return f"{self.category}-{self.commands[type(command)](command)}"

    def decided(self, state: S, command: Command, at: datetime) -> Sequence[Event]:
        """Returns what `decide` makes of a command. It gets a state of its own if that can be changed in place."""
        return self.decide(own_copy(state), command, at)

    def evolved(self, state: S, event: Event) -> S:
        """Returns what `evolve` makes of an event. It gets a state of its own, as `decide` does.

        The state before is kept: after a conflict, other events follow it.
        """
        return self.evolve(own_copy(state), event)
