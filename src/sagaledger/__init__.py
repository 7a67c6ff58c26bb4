"""sagaledger: an event-sourced saga store with CQRS read models.

Define a saga, open a ledger, start sagas, run a worker; audit, rebuild and query what happened. This module is the
whole public API.
"""

from .domain.errors import (
    CorruptEvent,
    DefinitionError,
    InvalidInput,
    NotSerialisable,
    PayloadTooLarge,
    SagaledgerError,
    StepRejected,
    UnknownEvent,
)
from .domain.event import Event, event
from .domain.facts import Action, Direction
from .domain.participant import Command, Participant, Refused
from .domain.recorded import Meta, Recorded
from .domain.saga import Saga
from .domain.state import SagaState, Status
from .domain.step import LocalResult, OnUnknown, Retry, Step, StepContext
from .infrastructure.app import App
from .infrastructure.errors import (
    NotOurs,
    OutcomeUnknown,
    SagaConflict,
    SagaNotFound,
    TimedOut,
    Unavailable,
    UnknownDefinition,
    WorkerRunning,
    WrongState,
)
from .infrastructure.ledger import Ledger
from .infrastructure.opening import Started
from .infrastructure.projector.query import Answer
from .infrastructure.rehearsal import Rehearsal, rehearse, rehearse_each_failure
from .infrastructure.worker import Worker
from .projections.projection import Projection

__all__ = [
    "Action",
    "Answer",
    "App",
    "Command",
    "CorruptEvent",
    "DefinitionError",
    "Direction",
    "Event",
    "InvalidInput",
    "Ledger",
    "LocalResult",
    "Meta",
    "NotOurs",
    "NotSerialisable",
    "OnUnknown",
    "OutcomeUnknown",
    "Participant",
    "PayloadTooLarge",
    "Projection",
    "Recorded",
    "Refused",
    "Rehearsal",
    "Retry",
    "Saga",
    "SagaConflict",
    "SagaNotFound",
    "SagaState",
    "SagaledgerError",
    "Started",
    "Status",
    "Step",
    "StepContext",
    "StepRejected",
    "TimedOut",
    "Unavailable",
    "UnknownDefinition",
    "UnknownEvent",
    "Worker",
    "WorkerRunning",
    "WrongState",
    "event",
    "rehearse",
    "rehearse_each_failure",
]
