"""Choreographies: processes without a coordinator, in which services react to each other's events.

Every event of one process carries its correlation id, `<choreography>-<key>`. A choreography declares, once, what each
event means for the saga that the services form together. `derive.py` derives that saga from the events.
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
from ..names import check_prefix, check_service_name, check_version
from ..participant import Command
from ..saga.duration import check_seconds
from ..saga.validation import check_name


class Stage(Struct, frozen=True):
    """A step of the process: the service that makes it, and the events in which that service publishes the outcome.

    A service may publish one outcome as several events, numbered by the fields `part` and `parts`. The stage is done,
    or undone, with the last of them.
    """

    name: str
    service: str
    done: type[Event]
    failed: type[Event] | None = None
    undone: type[Event] | None = None
    pivot: bool = False
    """Whether the process can no longer be aborted once this stage is done."""


class EventRole(StrEnum):
    """What an event means for its process."""

    BEGINS = "begins"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    ABORTS = "aborts"
    COMPLETES = "completes"


class EventMeaning(NamedTuple):
    """What an event type means for a process, and for which stage (None: for the whole process)."""

    role: EventRole
    stage: Stage | None = None


class Choreography:
    """The declaration of a process: its stages in order, and the events that begin, abort and complete it.

    - `begins`, `completes`: the events that open the process and that end it successfully;
    - `abort_event`: the event after which the process undoes its stages; None if it can only go forward;
    - `cancel`: makes, from the business key and a reason, the command by which a person aborts the process;
    - `ending_service`: the service that completes or aborts the process;
    - `key`: returns the business key that an event is about, so that an event of another process is noticed;
    - `stall_timeout_seconds`: after this long without an event the process counts as stalled.

    Raises `DefinitionError` if the saga of a process could not be derived from its events.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        begins: type[Event],
        stages: Iterable[Stage],
        completes: type[Event],
        abort_event: type[Event] | None = None,
        cancel: Callable[[str, str], Command] | None = None,
        ending_service: str,
        key: Callable[[Any], str],
        stall_timeout_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.version = version
        self.stages = tuple(stages)
        self.begins, self.abort_event, self.completes = begins, abort_event, completes
        self.cancel = cancel
        self.ending_service = ending_service
        self.key = key
        self.stall_timeout_seconds = stall_timeout_seconds
        self.meanings: dict[type[Event], EventMeaning] = {}
        self._check()
        self._declare(begins, EventMeaning(EventRole.BEGINS))
        self._declare(completes, EventMeaning(EventRole.COMPLETES))
        self._declare(abort_event, EventMeaning(EventRole.ABORTS))
        for stage in self.stages:
            self._declare(stage.done, EventMeaning(EventRole.DONE, stage))
            self._declare(stage.failed, EventMeaning(EventRole.FAILED, stage))
            self._declare(stage.undone, EventMeaning(EventRole.UNDONE, stage))
        self.topics = frozenset(type_.schema.name for type_ in self.meanings)
        self.fingerprint = self._fingerprint()

    def process_id(self, key: str) -> str:
        """Returns the correlation id of the process about a business key."""
        return f"{self.name}-{key}"

    def key_of(self, process_id: str) -> str:
        """Returns the business key that a process is about."""
        return process_id.removeprefix(f"{self.name}-")

    def stage_of(self, service: str) -> Stage | None:
        """Returns the stage that a service makes; None if it makes none."""
        return next((stage for stage in self.stages if stage.service == service), None)

    def _declare(self, type_: type[Event] | None, meaning: EventMeaning) -> None:
        if type_ is None:
            return
        if type_ in self.meanings:
            raise DefinitionError(
                f"choreography {self.name!r} gives {type_.schema.name} two meanings: use another event for one of them"
            )
        self.meanings[type_] = meaning

    def _check(self) -> None:
        where = f"choreography {self.name!r}"
        check_prefix(self.name, "choreography name")
        check_version(self.version, where)
        check_seconds(self.stall_timeout_seconds, f"{where}: the stall timeout")
        for stage in self.stages:
            check_name(stage.name, f"{where}: a stage")
            check_service_name(stage.service, f"{where}: the service of stage {stage.name!r}")
        if not self.stages:
            raise DefinitionError(f"{where} needs at least one stage")
        for attribute in ("name", "service"):
            values = [getattr(stage, attribute) for stage in self.stages]
            if len(set(values)) != len(values):
                raise DefinitionError(f"{where} has two stages of one {attribute} in {values}: give each its own")
        if self.cancel is not None and self.abort_event is None:
            raise DefinitionError(f"{where} can be cancelled, and has no event that aborts it: declare `abort_event`")

    def _fingerprint(self) -> str:
        """Hash the structure: another order of stages, or another event, gives another fingerprint."""
        structure = [
            (
                stage.name,
                stage.service,
                stage.pivot,
                *(_name(type_) for type_ in (stage.done, stage.failed, stage.undone)),
            )
            for stage in self.stages
        ]
        frame = [_name(type_) for type_ in (self.begins, self.abort_event, self.completes)]
        return hashlib.sha256(msgspec.json.encode((frame, structure))).hexdigest()[:16]


def is_whole(event: Event) -> bool:
    """Whether nothing is left to publish after this event: it has no fields `part` and `parts`, or is the last part."""
    return bool(getattr(event, "part", 1) == getattr(event, "parts", 1))


def process_name(correlation_id: str) -> str:
    """Returns the name of the choreography that a correlation id belongs to."""
    return correlation_id.partition("-")[0]


def _name(type_: type[Event] | None) -> str | None:
    return None if type_ is None else type_.schema.name
