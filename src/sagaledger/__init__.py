"""sagaledger: an event-sourced saga store with CQRS read models.

Define a saga, open a ledger, start sagas, run a worker; audit, rebuild and query what happened. This module is the
whole public API. A name is imported when it is first used, so that a command pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .domain.choreography.choreography import Choreography, Stage
    from .domain.choreography.service import NothingToDo, ProcessHistory, Service
    from .domain.errors import (
        AttemptCancelled,
        AttemptTimedOut,
        CorruptEvent,
        DefinitionError,
        Fail,
        HeartbeatTimedOut,
        InvalidInput,
        NotSerialisable,
        PayloadTooLarge,
        RetryAfter,
        SagaledgerError,
        StepRejected,
        UnknownEvent,
    )
    from .domain.event import Event, event
    from .domain.participant import Command, Participant, Refused
    from .domain.recorded_event import Meta, RecordedEvent
    from .domain.saga.approval import Approval
    from .domain.saga.events import Action, Direction
    from .domain.saga.retry_policy import OnUnknown, Retry
    from .domain.saga.saga import Saga
    from .domain.saga.schema_changes import StructuralDifference
    from .domain.saga.state import SagaState, Status
    from .domain.saga.step import Step
    from .domain.saga.step_context import SKIPPED, ItemOutcome, Skipped, StepContext
    from .domain.saga.step_kind import LocalResult
    from .infrastructure.api.asgi import asgi
    from .infrastructure.api.identity import Forbidden, Principal, Role, Unauthenticated
    from .infrastructure.choreography.in_process_bus import InProcessBus
    from .infrastructure.errors import (
        DefinitionChanged,
        NotALedger,
        NotSupported,
        OutcomeUnknown,
        ProjectionChanged,
        SagaConflict,
        SagaNotFound,
        ScheduleNotFound,
        TimedOut,
        Unavailable,
        UnknownDefinition,
        WorkerRunning,
        WrongState,
    )
    from .infrastructure.eventsourcing.aggregate_participant import AggregateParticipant
    from .infrastructure.ledger.app import App
    from .infrastructure.ledger.async_ledger import AsyncLedger
    from .infrastructure.ledger.changes import LedgerChanges
    from .infrastructure.ledger.ledger import Ledger
    from .infrastructure.ledger.moment import Moment
    from .infrastructure.ledger.saga_start import Started
    from .infrastructure.ledger.schedule import Schedule, Tick
    from .infrastructure.ledger.schedules import ScheduleInfo
    from .infrastructure.read_models.ledger_tables import outside_ledger
    from .infrastructure.read_models.queries import QueryResult
    from .infrastructure.runtime.current_saga import correlated_with
    from .infrastructure.telemetry.telemetry import Telemetry
    from .infrastructure.testing.crash_points import CrashTest
    from .infrastructure.testing.frozen_clock import FrozenClock
    from .infrastructure.testing.plan import PlannedIntervention, PlannedSignal
    from .infrastructure.testing.rehearsal import Rehearsal, rehearse, rehearse_each_failure
    from .infrastructure.testing.replays import RecordedSaga, assert_replays, load_histories, save_histories
    from .infrastructure.testing.scenario import Scenario
    from .infrastructure.testing.worker_thread import WorkerThread
    from .infrastructure.worker import Worker
    from .infrastructure.worker.health import WorkerHealth, WorkerState
    from .projections.projection import Projection, Row

    __version__: str

_HOMES = {
    ".domain.choreography.choreography": ("Choreography", "Stage"),
    ".domain.errors": (
        "AttemptCancelled",
        "AttemptTimedOut",
        "CorruptEvent",
        "DefinitionError",
        "Fail",
        "HeartbeatTimedOut",
        "InvalidInput",
        "NotSerialisable",
        "PayloadTooLarge",
        "RetryAfter",
        "SagaledgerError",
        "StepRejected",
        "UnknownEvent",
    ),
    ".domain.event": ("Event", "event"),
    ".domain.saga.approval": ("Approval",),
    ".domain.saga.events": ("Action", "Direction"),
    ".domain.participant": ("Command", "Participant", "Refused"),
    ".domain.recorded_event": ("Meta", "RecordedEvent"),
    ".domain.saga.saga": ("Saga",),
    ".domain.saga.schema_changes": ("StructuralDifference",),
    ".domain.choreography.service": ("NothingToDo", "Service", "ProcessHistory"),
    ".domain.saga.state": ("SagaState", "Status"),
    ".domain.saga.retry_policy": ("OnUnknown", "Retry"),
    ".domain.saga.step": ("Step",),
    ".domain.saga.step_context": ("SKIPPED", "ItemOutcome", "Skipped", "StepContext"),
    ".domain.saga.step_kind": ("LocalResult",),
    ".infrastructure.eventsourcing.aggregate_participant": ("AggregateParticipant",),
    ".infrastructure.api.asgi": ("asgi",),
    ".infrastructure.api.identity": ("Forbidden", "Principal", "Role", "Unauthenticated"),
    ".infrastructure.ledger.app": ("App",),
    ".infrastructure.ledger.async_ledger": ("AsyncLedger",),
    ".infrastructure.choreography.in_process_bus": ("InProcessBus",),
    ".infrastructure.errors": (
        "DefinitionChanged",
        "NotALedger",
        "NotSupported",
        "OutcomeUnknown",
        "ProjectionChanged",
        "SagaConflict",
        "SagaNotFound",
        "ScheduleNotFound",
        "TimedOut",
        "Unavailable",
        "UnknownDefinition",
        "WorkerRunning",
        "WrongState",
    ),
    ".infrastructure.ledger.changes": ("LedgerChanges",),
    ".infrastructure.ledger.ledger": ("Ledger",),
    ".infrastructure.ledger.moment": ("Moment",),
    ".infrastructure.ledger.saga_start": ("Started",),
    ".infrastructure.ledger.schedule": ("Schedule", "Tick"),
    ".infrastructure.ledger.schedules": ("ScheduleInfo",),
    ".infrastructure.read_models.ledger_tables": ("outside_ledger",),
    ".infrastructure.read_models.queries": ("QueryResult",),
    ".infrastructure.runtime.current_saga": ("correlated_with",),
    ".infrastructure.telemetry.telemetry": ("Telemetry",),
    ".infrastructure.testing.crash_points": ("CrashTest",),
    ".infrastructure.testing.frozen_clock": ("FrozenClock",),
    ".infrastructure.testing.worker_thread": ("WorkerThread",),
    ".infrastructure.testing.plan": ("PlannedIntervention", "PlannedSignal"),
    ".infrastructure.testing.scenario": ("Scenario",),
    ".infrastructure.testing.replays": ("RecordedSaga", "assert_replays", "load_histories", "save_histories"),
    ".infrastructure.testing.rehearsal": ("Rehearsal", "rehearse", "rehearse_each_failure"),
    ".infrastructure.worker": ("Worker",),
    ".infrastructure.worker.health": ("WorkerHealth", "WorkerState"),
    ".projections.projection": ("Projection", "Row"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "SKIPPED",
    "Action",
    "AggregateParticipant",
    "App",
    "Approval",
    "AsyncLedger",
    "AttemptCancelled",
    "AttemptTimedOut",
    "Choreography",
    "Command",
    "CorruptEvent",
    "CrashTest",
    "DefinitionChanged",
    "DefinitionError",
    "Direction",
    "Event",
    "Fail",
    "Forbidden",
    "FrozenClock",
    "HeartbeatTimedOut",
    "InProcessBus",
    "InvalidInput",
    "ItemOutcome",
    "Ledger",
    "LedgerChanges",
    "LocalResult",
    "Meta",
    "Moment",
    "NotALedger",
    "NotSerialisable",
    "NotSupported",
    "NothingToDo",
    "OnUnknown",
    "OutcomeUnknown",
    "Participant",
    "PayloadTooLarge",
    "PlannedIntervention",
    "PlannedSignal",
    "Principal",
    "ProcessHistory",
    "Projection",
    "ProjectionChanged",
    "QueryResult",
    "RecordedEvent",
    "RecordedSaga",
    "Refused",
    "Rehearsal",
    "Retry",
    "RetryAfter",
    "Role",
    "Row",
    "Saga",
    "SagaConflict",
    "SagaNotFound",
    "SagaState",
    "SagaledgerError",
    "Scenario",
    "Schedule",
    "ScheduleInfo",
    "ScheduleNotFound",
    "Service",
    "Skipped",
    "Stage",
    "Started",
    "Status",
    "Step",
    "StepContext",
    "StepRejected",
    "StructuralDifference",
    "Telemetry",
    "Tick",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
    "UnknownDefinition",
    "UnknownEvent",
    "Worker",
    "WorkerHealth",
    "WorkerRunning",
    "WorkerState",
    "WorkerThread",
    "WrongState",
    "asgi",
    "assert_replays",
    "correlated_with",
    "event",
    "load_histories",
    "outside_ledger",
    "rehearse",
    "rehearse_each_failure",
    "save_histories",
]


if not TYPE_CHECKING:  # a type checker reads the imports above, and knows what is not there

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = import_module("importlib.metadata").version("sagaledger")
        elif name in _HOME:
            value = getattr(import_module(_HOME[name], __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
