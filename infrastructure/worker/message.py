"""What an engine is told, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...domain.decision import Run
from ...domain.definition import StepContext
from ...domain.outcome import Outcome
from ...domain.recorded import Meta
from ...domain.state import SagaState
from ..ledger import Opening, Started
from .transition import Execution


class Attempted(NamedTuple):
    """An attempt came to an end."""

    execution: Execution
    run: Run
    outcome: Outcome


class Start(NamedTuple):
    """A saga is to be started and held here; `reply` gets `Started`, or the error that prevents it."""

    opening: Opening
    meta: Meta
    reply: Callable[[Started | Exception], None]


class Watch(NamedTuple):
    """`reply` gets the saga's state when it has ended or needs a person."""

    saga_id: str
    reply: Callable[[SagaState], None]


class Idle(NamedTuple):
    """`reply` is called when nothing is held and nothing is due."""

    reply: Callable[[None], None]


Message = Attempted | Start | Watch | Idle


class Dispatch(NamedTuple):
    """An attempt to make now: its start is durable."""

    execution: Execution
    run: Run
    context: StepContext


class Turn(NamedTuple):
    """What a turn asks its host to do: attempts to make, and replies to give."""

    dispatch: list[Dispatch]
    replies: list[Callable[[], None]]
