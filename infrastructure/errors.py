"""What can go wrong outside the domain. A foreign error becomes one of these once, where it enters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..domain.errors import DefinitionError, SagaledgerError
from ..domain.saga.schema_changes import StructuralDifference


class Unavailable(SagaledgerError):
    """The database cannot be used now: locked, unreachable, read-only or full. Nothing was written."""


class PermanentlyUnavailable(Unavailable):
    """The database refuses, and will until a person changes its permissions, its schema, or the URL: do not retry."""


class NotALedger(SagaledgerError):
    """The database is not a sagaledger database, or not one that this version reads: `sagaledger init` may help."""


class DamagedLedger(SagaledgerError):
    """What is stored cannot be what sagaledger wrote: a row is missing, out of range, or cannot be read."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the ledger is damaged: {detail}; `sagaledger verify` lists what was edited")
        self.detail = detail


NEEDS_A_PERSON: Final = (PermanentlyUnavailable, NotALedger, DamagedLedger)
"""What lasts until a person mends it: background work ends with it, and does not try again."""


class OutcomeUnknown(SagaledgerError):
    """The connection was lost during an append, and whether it was written could not be learned: never guessed.

    Appending the same call again, with the same append id, returns its first outcome.
    """

    def __init__(self, append_id: str, detail: str) -> None:
        super().__init__(f"whether append {append_id} was written is unknown ({detail}): append it again to learn it")
        self.append_id = append_id


class SupersededWorker(SagaledgerError):
    """The worker's lease was taken over, so it may not append any more."""

    def __init__(self, worker_id: str, epoch: int) -> None:
        super().__init__(f"worker {worker_id} (epoch {epoch}) lost its lease to another: it has stopped writing")
        self.worker_id = worker_id
        self.epoch = epoch


class WorkerRunning(SagaledgerError):
    """Another worker already works this SQLite file; it takes exactly one."""


class SagaNotFound(SagaledgerError):
    """No saga has this id."""

    def __init__(self, saga_id: str, remedy: str = "`sagaledger list` shows those there are") -> None:
        super().__init__(f"there is no saga {saga_id!r}: {remedy}")
        self.saga_id = saga_id


class ScheduleNotFound(SagaledgerError):
    """No schedule has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no schedule {name!r}: `sagaledger schedules list` shows those there are; a worker records a "
            "schedule when it begins with an app that declares it"
        )
        self.name = name


class UnknownDefinition(SagaledgerError):
    """No saga definition of that name and version is registered."""


class AppPartMissing(SagaledgerError):
    """The ledger was opened without the part of an app that this needs: a saga, a service or a projection."""

    def __init__(self, what: str, part: str) -> None:
        super().__init__(
            f"{what} needs {part}, which the app in use does not have: name the app that has it with "
            "--app module:object (--app shop is the online shop)"
        )
        self.what = what
        self.part = part


class DefinitionChanged(DefinitionError):
    """A definition is not the one that sagas were started with under the same version."""

    def __init__(
        self, name: str, version: int, recorded: str, registered: str, differences: Sequence[StructuralDifference] = ()
    ) -> None:
        """`differences`: the breaking ones; none if only the fingerprint of the recorded structure is known."""
        found = "; ".join(map(str, differences)) or "its structure changed"
        super().__init__(
            f"saga {name!r} version {version} is on record with the fingerprint {recorded}, and the one registered "
            f"here has {registered}: {found}; register the changed one as a new version, and keep "
            f"version {version} as it was while it has unfinished sagas (`sagaledger definitions` counts them)"
        )
        self.name = name
        self.version = version
        self.recorded = recorded
        self.registered = registered
        self.differences = tuple(differences)


class ProjectionChanged(DefinitionError):
    """A projection declares another table than the one that its version has."""

    def __init__(self, view: str, version: int, differences: Sequence[str]) -> None:
        super().__init__(
            f"view {view!r} has a table of version {version} of its projection, and the projection declares another "
            f"table under that version: {'; '.join(differences)}. Declare it with version={version + 1}, or a higher "
            "one: the view is then built anew beside this table, which other programs may be using"
        )
        self.view = view
        self.version = version
        self.differences = tuple(differences)


class NotSupported(SagaledgerError):
    """The ledger's database cannot do this; another one can."""


class SagaConflict(SagaledgerError):
    """The id belongs to a saga of another definition, or with another input."""


class WrongState(SagaledgerError):
    """The saga is in a state in which this cannot be done."""


class VersionConflict(SagaledgerError):
    """The saga is not at the version that the caller expected: something else happened to it meanwhile."""

    def __init__(self, saga_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"saga {saga_id!r} is at version {actual}, and version {expected} was expected: read it again, and decide "
            "on what it is now"
        )
        self.saga_id = saga_id
        self.expected = expected
        self.actual = actual


class RequestKeyReused(SagaledgerError):
    """Another request was made under the same idempotency key."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the idempotency key belongs to another request, which wrote position {position}: use a new key for a new "
            "request, or repeat the first one without a change"
        )
        self.position = position


class TooContended(SagaledgerError):
    """Others kept writing to the same streams, so that nothing could be decided and written in time."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} could not be written: others kept writing to the same streams; try again")
        self.what = what


class PositionConflict(SagaledgerError):
    """A consumer's position is not where its writer believed: another runner moved it."""


class TimedOut(SagaledgerError):
    """What was waited for did not happen in time; it may still happen."""
