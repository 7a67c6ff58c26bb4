"""Choreography: a process with no coordinator, made by services that react to each other's events.

Every event of one process bears its correlation id, `<process>-<key>`. What each event means for the saga that the
services form together is declared here, once; `derivation.py` reads that saga out of the events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from ..errors import DefinitionError
from ..event import Event
from ..participant import Command


class Stage(Struct, frozen=True):
    """A step of the process: which service takes it, and the events by which that service tells what became of it.

    A service may tell it in parts (fields `part` and `parts`): the stage is done, or undone, with the last one.
    """

    name: str
    service: str
    done: type[Event]
    failed: type[Event] | None = None
    undone: type[Event] | None = None
    pivot: bool = False
    """Once done, the process only goes forward."""


class EventRole(StrEnum):
    """What an event means for its process."""

    BEGINS = "begins"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    TURNS = "turns"
    COMPLETES = "completes"


class EventMeaning(NamedTuple):
    """What an event type means for a process, and for which of its stages."""

    role: EventRole
    stage: Stage | None = None


class Choreography:
    """A process, declared: its stages one after the other, and the events that begin, turn and complete it.

    - `key`: the business key that an event is about, so that one in another process's name is noticed;
    - `cancel`: the command, from that key and a reason, by which a person turns the process back;
    - `closing`: the service that completes or turns the process;
    - `silence_seconds`: after so long without news the process shows as stalled.

    Raises `DefinitionError` for one that cannot be told from its events.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        begins: type[Event],
        stages: Iterable[Stage],
        completes: type[Event],
        turns: type[Event] | None = None,
        cancel: Callable[[str, str], Command] | None = None,
        closing: str,
        key: Callable[[Any], str],
        silence_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.version = version
        self.stages = tuple(stages)
        self.begins, self.turns, self.completes = begins, turns, completes
        self.cancel = cancel
        self.closing = closing
        self.key = key
        self.silence_seconds = silence_seconds
        self.meanings: dict[type[Event], EventMeaning] = {}
        self._refuse_unworkable()
        self._declare(begins, EventMeaning(EventRole.BEGINS))
        self._declare(completes, EventMeaning(EventRole.COMPLETES))
        self._declare(turns, EventMeaning(EventRole.TURNS))
        for stage in self.stages:
            self._declare(stage.done, EventMeaning(EventRole.DONE, stage))
            self._declare(stage.failed, EventMeaning(EventRole.FAILED, stage))
            self._declare(stage.undone, EventMeaning(EventRole.UNDONE, stage))
        self.topics = frozenset(type_.schema.name for type_ in self.meanings)
        self.fingerprint = self._fingerprint()

    def process_id(self, key: str) -> str:
        """The correlation id of the process about a business key."""
        return f"{self.name}-{key}"

    def key_of(self, process_id: str) -> str:
        """The business key that a process is about."""
        return process_id.removeprefix(f"{self.name}-")

    def stage_of(self, service: str) -> Stage | None:
        """The stage that a service takes; None if it takes none."""
        return next((stage for stage in self.stages if stage.service == service), None)

    def _declare(self, type_: type[Event] | None, meaning: EventMeaning) -> None:
        if type_ is None:
            return
        if type_ in self.meanings:
            raise DefinitionError(
                f"choreography {self.name!r} gives {type_.schema.name} two meanings: let each event tell one thing"
            )
        self.meanings[type_] = meaning

    def _refuse_unworkable(self) -> None:
        where = f"choreography {self.name!r}"
        if not self.name or "-" in self.name:
            raise DefinitionError(f"{where} needs a name without '-': it is the prefix of its correlation ids")
        if not self.stages:
            raise DefinitionError(f"{where} needs at least one stage")
        for attribute in ("name", "service"):
            values = [getattr(stage, attribute) for stage in self.stages]
            if len(set(values)) != len(values):
                raise DefinitionError(f"{where} has two stages of one {attribute} in {values}: give each its own")
        if self.cancel is not None and self.turns is None:
            raise DefinitionError(f"{where} can be cancelled, and has no event that turns it: give `turns`")
        if self.silence_seconds <= 0:
            raise DefinitionError(f"{where}: silence_seconds must be above 0, not {self.silence_seconds}")

    def _fingerprint(self) -> str:
        """Names the structure: another order of stages, or other events, is another one."""
        structure = [
            (
                stage.name,
                stage.service,
                stage.pivot,
                *(_name(type_) for type_ in (stage.done, stage.failed, stage.undone)),
            )
            for stage in self.stages
        ]
        frame = [_name(type_) for type_ in (self.begins, self.turns, self.completes)]
        return hashlib.sha256(msgspec.json.encode((frame, structure))).hexdigest()[:16]


def is_whole(event: Event) -> bool:
    """Whether an event tells all of what it is about: it is the last of its parts, or has none."""
    return bool(getattr(event, "part", 1) == getattr(event, "parts", 1))


def process_name(correlation_id: str) -> str:
    """The name of the process that a correlation id belongs to."""
    return correlation_id.partition("-")[0]


def _name(type_: type[Event] | None) -> str | None:
    return None if type_ is None else type_.schema.name
