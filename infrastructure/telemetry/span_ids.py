"""The ids of spans that follow from the log: whoever computes one, and however often, it is the same.

So a compensation can link to the attempt that it undoes, on any worker, and nothing needs to be stored for it.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final
from zlib import crc32

from ..runtime.trace_context import TraceContext

TRACE_SPAN_MAX: Final = timedelta(hours=1)
"""An attempt that begins later than this after its saga begins a trace of its own, which links to the saga's."""
SPAN_BITS: Final = 64


def root_of(saga_id: str, started_at: datetime) -> TraceContext:
    """Return the span that stands for the start of a saga which no caller gave a trace."""
    trace_id = _digest(128, saga_id, started_at.isoformat())
    return TraceContext(trace_id, _digest(SPAN_BITS, trace_id, saga_id, "start"), sampled=True)


def attempt_of(
    saga: TraceContext, started_at: datetime, saga_id: str, step: str, direction: str, attempt: int, at: datetime
) -> TraceContext:
    """Return the span of an attempt that began at a time."""
    named = (saga.trace_id, saga_id, step, direction, attempt)
    trace_id = saga.trace_id if at - started_at <= TRACE_SPAN_MAX else _digest(128, "late", *named)
    return TraceContext(trace_id, _digest(SPAN_BITS, *named), sampled=True)


def new_child(parent: TraceContext | None) -> TraceContext:
    """Return a new span in the trace of its parent, or in a new one."""
    trace_id = secrets.randbits(128) or 1 if parent is None else parent.trace_id
    return TraceContext(trace_id, secrets.randbits(SPAN_BITS) or 1, sampled=True)


def share_of(saga_id: str) -> float:
    """Return a number from 0 to 1 that follows from a saga's id: it is traced if the share of traces is larger.

    A worker asks for every saga, and a checksum costs it a tenth of what a digest does.
    """
    return crc32(saga_id.encode("utf-8", "surrogatepass")) / (1 << 32)


def _digest(bits: int, *parts: object) -> int:
    text = "\n".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=bits // 8).digest()) or 1
