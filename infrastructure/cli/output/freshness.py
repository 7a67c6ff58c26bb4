"""How far an answer is behind the log: said with every answer, never hidden."""

from __future__ import annotations

from ...errors import Unavailable
from ...ledger.ledger import Ledger
from ...read_models.checkpoints import STOPPED
from ..commands.workers import unattended
from ..options import Options
from .output import say
from .progress import progress
from .text import counted


def follow_if_unattended(ledger: Ledger) -> None:
    """Bring the views up when no worker does, so that a ledger without a server answers from its whole log.

    Folding is exact however many do it. A database that cannot be written to answers from what it has.
    """
    if ledger.backend.workers():
        return
    projector = ledger.projector()
    head = ledger.backend.head().position
    try:
        if any(checkpoint.position < head for checkpoint in projector.checkpoints()):
            with progress("bringing the views up"):
                projector.catch_up(head)
    except Unavailable as error:
        say(f"the views stay behind: {error}")
    finally:
        projector.stop()


def standing_remark(
    ledger: Ledger, view: str, position: int, head: int, options: Options, *, lag_seconds: float | None = None
) -> str:
    """`as of position N, head M, lag …`, and why the view is behind."""
    remark = f"{view}: as of position {position}, head {head}, "
    if position >= head:
        return f"{remark}no lag"
    remark += f"lag {counted(head - position, 'event')}"
    if lag_seconds is not None:
        remark += f", {lag_seconds:.1f} seconds"
    checkpoint = ledger.context.queries.checkpoint(view)
    reason = checkpoint.error if checkpoint.status == STOPPED else unattended(ledger, options)
    return f"{remark}; {reason}" if reason else remark
