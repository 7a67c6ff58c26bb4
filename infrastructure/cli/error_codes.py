"""Which exit code each error ends with: the one table that knows both."""

from __future__ import annotations

from ...domain import errors as domain
from ...domain.participant import Refused
from .. import errors as edge
from ..shop.order_import import OrderFileError
from .exit_codes import ExitCode
from .usage import UsageError

EXIT_CODES: dict[type[domain.SagaledgerError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    OrderFileError: ExitCode.USAGE,
    domain.DefinitionError: ExitCode.USAGE,
    edge.DefinitionChanged: ExitCode.CONFLICT,
    domain.InvalidInput: ExitCode.USAGE,
    domain.PayloadTooLarge: ExitCode.USAGE,
    domain.NotSerialisable: ExitCode.USAGE,
    edge.SagaNotFound: ExitCode.NOT_FOUND,
    edge.UnknownDefinition: ExitCode.NOT_FOUND,
    edge.SagaConflict: ExitCode.CONFLICT,
    edge.WrongState: ExitCode.CONFLICT,
    edge.TooContended: ExitCode.CONFLICT,
    edge.WorkerRunning: ExitCode.CONFLICT,
    edge.SupersededWorker: ExitCode.CONFLICT,
    edge.PositionConflict: ExitCode.CONFLICT,
    Refused: ExitCode.CONFLICT,
    edge.NotSupported: ExitCode.USAGE,
    edge.Unavailable: ExitCode.UNAVAILABLE,
    edge.NotALedger: ExitCode.UNAVAILABLE,
    edge.OutcomeUnknown: ExitCode.UNAVAILABLE,
    domain.UnknownEvent: ExitCode.UNAVAILABLE,
    domain.CorruptEvent: ExitCode.VERIFICATION_FAILED,
    edge.TimedOut: ExitCode.TIMED_OUT,
}


def exit_code_of(error: domain.SagaledgerError) -> ExitCode:
    """The exit code of an error: that of its class, or of the nearest one above it."""
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return ExitCode.FAILED
