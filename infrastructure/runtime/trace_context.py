"""W3C trace contexts: the text that says to which trace something belongs.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from ...domain.errors import InvalidInput

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]*)?")
_SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """A span, by the id of its trace and its own, and whether it is recorded."""

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{_SAMPLED if self.sampled else 0:02x}"


def parse_traceparent(text: str | None) -> TraceContext | None:
    """Return the trace context of a text; None if it is none, which a receiver ignores."""
    form = None if text is None else _FORM.fullmatch(text)
    if form is None:
        return None
    version, trace_id, span_id, flags, more = form.groups()
    if version == "ff" or (version == "00" and more):
        return None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None


def check_traceparent(text: Any) -> str | None:
    """Return a trace context that a caller passed, in version 00. Raises `InvalidInput` for any other text."""
    if text is None:
        return None
    context = parse_traceparent(text) if isinstance(text, str) else None
    if context is None:
        raise InvalidInput(
            f"traceparent={text!r} is no W3C trace context: pass one like "
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01, or leave it out"
        )
    return str(context)
