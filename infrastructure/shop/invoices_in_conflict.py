"""Invoices of a file whose sagas cannot be started: they are listed, and the others go on without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ...domain.errors import InvalidInput, NotSerialisable, PayloadTooLarge
from ...domain.participant import Command, Refused
from ..choreography.start import start_processes
from ..errors import SagaConflict
from ..ledger.ledger import Ledger

INVOICE_ERRORS: Final = (SagaConflict, Refused, InvalidInput, PayloadTooLarge, NotSerialisable)
"""What a start raises because of one invoice alone; every other error concerns the whole run."""


class InvoiceInConflict(NamedTuple):
    """An invoice that contradicts itself or what the ledger has, or that no saga can be started with."""

    saga_id: str
    reason: str
    lines: tuple[int, ...] = ()
    """The numbers of its lines in the file."""


def start_each(
    ledger: Ledger, starts: Sequence[tuple[str, Command]], *, actor: str, conflict: Callable[[InvoiceInConflict], None]
) -> None:
    """Start processes together; if one cannot be started, halve them until it alone is left out."""
    try:
        start_processes(ledger, starts, actor=actor)
    except INVOICE_ERRORS as error:
        if len(starts) == 1:
            conflict(InvoiceInConflict(starts[0][0], str(error)))
            return
        middle = len(starts) // 2
        for half in (starts[:middle], starts[middle:]):
            start_each(ledger, half, actor=actor, conflict=conflict)
