"""The shop in memory: participants and sagas of plain commands, with no log, no worker and no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pytest

from sagaledger.domain.event import Event
from sagaledger.domain.participant import Command, Participant, Refused
from sagaledger.domain.saga.events import Direction
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext
from sagaledger.domain.saga.step_kind import LocalResult
from sagaledger.domain.shop import PARTICIPANTS

NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)


class Shop:
    """Every participant's streams, as lists of events."""

    def __init__(self) -> None:
        self.streams: dict[str, list[Event]] = defaultdict(list)
        self._serves = {command: participant for participant in PARTICIPANTS for command in participant.commands}

    @property
    def events(self) -> list[Event]:
        """Every event of every stream."""
        return [event for stream in self.streams.values() for event in stream]

    def of(self, type_: type[Event]) -> list[Any]:
        """Every event of a type."""
        return [event for event in self.events if type(event) is type_]

    def state(self, participant: Participant[Any], key: str) -> Any:
        """What a stream's events fold to."""
        return reduce(participant.evolve, self.streams[f"{participant.category}-{key}"], participant.initial)

    def handle(self, commands: Sequence[Command]) -> int:
        """Decide commands one after the other: all of them, or none and the facts of the refusal."""
        decided: dict[str, list[Event]] = defaultdict(list)
        for command in commands:
            participant = self._serves[type(command)]
            stream = participant.stream_of(command)
            state = reduce(participant.evolve, self.streams[stream] + decided[stream], participant.initial)
            try:
                decided[stream] += participant.decide(state, command, NOON)
            except Refused as refused:
                self.streams[stream] += refused.events
                raise
        for stream, events in decided.items():
            self.streams[stream] += events
        return sum(map(len, decided.values()))

    def run(self, saga: Saga[Any], given: Any, *, failing: str | None = None) -> bool:
        """Run a saga of local steps to its end; `failing` names a step to refuse. True if it completed."""
        definition = saga.definition
        if definition.started is not None:
            self.handle(definition.started(given))
        done: list[tuple[Any, LocalResult]] = []
        for step in definition.steps:
            try:
                self._admit(step.name, failing)
                done.append((step, LocalResult(self.handle(step.action(given, _context(saga, given, step.name))))))
            except Refused as refused:
                for earlier, result in reversed(done):
                    self.handle(earlier.undo(given, result, _context(saga, given, earlier.name)))
                if definition.compensated is not None:
                    self.handle(definition.compensated(given, str(refused)))
                return False
        if definition.completed is not None:
            self.handle(definition.completed(given))
        return True

    @staticmethod
    def _admit(step: str, failing: str | None) -> None:
        if step == failing:
            raise Refused("the test says no")


def _context(saga: Saga[Any], given: Any, step: str) -> StepContext:
    definition = saga.definition
    saga_id = definition.saga_id(definition.key(given)) if definition.key else definition.name
    return StepContext(saga_id, step, Direction.FORWARD, 1, f"{saga_id}:{step}", definition.read_result, {})


Decided = Callable[[Participant[Any], Sequence[Event], Command], Sequence[Event]]


@pytest.fixture(scope="session")
def shop() -> type[Shop]:
    """Makes shops: one for each example of a property."""
    return Shop


@pytest.fixture(scope="session")
def decided() -> Decided:
    """What a participant decides on a command, given its stream's events."""

    def given_when(participant: Participant[Any], given: Sequence[Event], command: Command) -> Sequence[Event]:
        return participant.decide(reduce(participant.evolve, given, participant.initial), command, NOON)

    return given_when
