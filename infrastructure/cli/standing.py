"""How far an answer is behind the log: said with every answer, never hidden."""

from __future__ import annotations

from ..ledger import Ledger
from .options import Options
from .text import counted
from .workers import unattended


def standing_remark(
    ledger: Ledger, view: str, position: int, head: int, options: Options, *, lag_seconds: float | None = None
) -> str:
    """`as of position N, head M, lag …`, and who is missing if nobody works on the lag."""
    remark = f"{view}: as of position {position}, head {head}, "
    if position >= head:
        return f"{remark}no lag"
    remark += f"lag {counted(head - position, 'event')}"
    if lag_seconds is not None:
        remark += f", {lag_seconds:.1f} seconds"
    missing = unattended(ledger, options)
    return f"{remark}; {missing}" if missing else remark
