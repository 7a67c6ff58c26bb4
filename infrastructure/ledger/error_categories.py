"""What an error means to a caller: one table, from which the command line and the HTTP API take their own codes."""

from __future__ import annotations

from enum import StrEnum

from ...domain import errors as domain
from ...domain.participant import Refused
from .. import errors as edge
from ..event_store.codec import UnreadableEvent


class ErrorCategory(StrEnum):
    """The kinds of errors that a caller treats differently."""

    USAGE = "usage"
    """The request, its input or its app cannot be used as given."""
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """Another saga, worker or definition is in the way, or the saga's state does not allow it."""
    UNAVAILABLE = "unavailable"
    """The database cannot be used now, or not by this version."""
    VERIFICATION_FAILED = "verification_failed"
    """What is stored is not what was written."""
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    """Any other error that sagaledger can explain."""


CATEGORIES: dict[type[domain.SagaledgerError], ErrorCategory] = {
    domain.DefinitionError: ErrorCategory.USAGE,
    domain.InvalidInput: ErrorCategory.USAGE,
    domain.PayloadTooLarge: ErrorCategory.USAGE,
    domain.NotSerialisable: ErrorCategory.USAGE,
    edge.AppPartMissing: ErrorCategory.USAGE,
    edge.NotSupported: ErrorCategory.USAGE,
    edge.SagaNotFound: ErrorCategory.NOT_FOUND,
    edge.ScheduleNotFound: ErrorCategory.NOT_FOUND,
    edge.UnknownDefinition: ErrorCategory.NOT_FOUND,
    Refused: ErrorCategory.CONFLICT,
    edge.DefinitionChanged: ErrorCategory.CONFLICT,
    edge.ProjectionChanged: ErrorCategory.CONFLICT,
    edge.SagaConflict: ErrorCategory.CONFLICT,
    edge.WrongState: ErrorCategory.CONFLICT,
    edge.VersionConflict: ErrorCategory.CONFLICT,
    edge.RequestKeyReused: ErrorCategory.CONFLICT,
    edge.TooContended: ErrorCategory.CONFLICT,
    edge.WorkerRunning: ErrorCategory.CONFLICT,
    edge.SupersededWorker: ErrorCategory.CONFLICT,
    edge.PositionConflict: ErrorCategory.CONFLICT,
    edge.Unavailable: ErrorCategory.UNAVAILABLE,
    edge.PermanentlyUnavailable: ErrorCategory.UNAVAILABLE,
    edge.NotALedger: ErrorCategory.UNAVAILABLE,
    edge.OutcomeUnknown: ErrorCategory.UNAVAILABLE,
    domain.UnknownEvent: ErrorCategory.UNAVAILABLE,
    edge.DamagedLedger: ErrorCategory.VERIFICATION_FAILED,
    domain.CorruptEvent: ErrorCategory.VERIFICATION_FAILED,
    edge.TimedOut: ErrorCategory.TIMED_OUT,
}


def category_of(error: domain.SagaledgerError) -> ErrorCategory:
    """Return the category of an error: that of its class, or else of the nearest base class in the table.

    An event that cannot be read has the category of its cause.
    """
    cause = error.__cause__
    if isinstance(error, UnreadableEvent) and isinstance(cause, domain.SagaledgerError):
        return category_of(cause)
    return next((CATEGORIES[kind] for kind in type(error).__mro__ if kind in CATEGORIES), ErrorCategory.FAILED)
