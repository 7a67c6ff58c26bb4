"""Import job: the run of one file of orders, with parameters that never change.

The stream is named after the file's content. Running the same file again continues the same import, and running it with
other parameters is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ..event import Event, event
from ..participant import Command, Participant, Refused


class ImportParameters(Struct, frozen=True):
    """What decides the outcome of an import: the file's content, and how it is run."""

    sha256: str
    """The digest of the file's uncompressed content, in hexadecimal."""
    seed: int
    decline_rate: str
    """A decimal fraction in its shortest form, so that equal rates are equal texts."""
    opening_stock: int | None
    """The pieces of each article; None: as many as the file needs."""

    def __str__(self) -> str:
        stock = "as needed" if self.opening_stock is None else self.opening_stock
        return f"seed {self.seed}, decline rate {self.decline_rate}, opening stock {stock}"


# Events


@event("IntakeStarted")
class ImportStarted(Event, frozen=True):
    """The import of a file with `lines_in` lines started."""

    file: str
    sha256: str
    lines_in: int
    seed: int
    decline_rate: str
    opening_stock: int | None = None

    @property
    def parameters(self) -> ImportParameters:
        """The parameters that decide the outcome of the import."""
        return ImportParameters(self.sha256, self.seed, self.decline_rate, self.opening_stock)


# Commands


class StartImport(Command, frozen=True):
    """Start the import of a file, or continue it."""

    file: str
    lines_in: int
    parameters: ImportParameters


# State


class ImportState(Struct, frozen=True):
    """The parameters that the import started with; None before it started."""

    parameters: ImportParameters | None = None


def evolve(state: ImportState, event: Event) -> ImportState:
    return ImportState(event.parameters) if isinstance(event, ImportStarted) else state


# Decision


def decide(state: ImportState, command: StartImport, at: datetime) -> Sequence[Event]:
    asked, known = command.parameters, state.parameters
    if known is None:
        return [
            ImportStarted(
                at,
                command.file,
                asked.sha256,
                command.lines_in,
                asked.seed,
                asked.decline_rate,
                asked.opening_stock,
            )
        ]
    if asked != known:
        raise Refused(
            f"{command.file} was begun here with {known}, and cannot go on with {asked}: "
            "give the same parameters, or another database"
        )
    return []


def import_key(sha256: str) -> str:
    """Returns the key of a file's import: enough of the digest to tell files apart."""
    return sha256[:16]


def _file(command: StartImport) -> str:
    return import_key(command.parameters.sha256)


IMPORT_JOB = Participant(
    "intake",
    initial=ImportState(),
    state_type=ImportState,
    events=(ImportStarted,),
    commands={StartImport: _file},
    decide=decide,
    evolve=evolve,
)
