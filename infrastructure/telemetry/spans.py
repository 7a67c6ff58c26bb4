"""Spans: what is recorded of them, and where they go. They are made whole, when what they are about has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Token
from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ...domain.user_code import is_interruption
from ..runtime.observer import current_trace_id
from ..runtime.trace_context import TraceContext
from .environment import traces_are_asked_for
from .sampling import Sampling, sampling_of_environment
from .span_ids import new_child

LINKS_MAX: Final = 32
FLUSH_SECONDS: Final = 5.0
"""How long closing waits for spans that are not sent yet."""
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KINDS: Final = {kind.name.lower(): kind for kind in SpanKind}
_SCOPE: Final = InstrumentationScope("sagaledger")
_OK: Final = Status(StatusCode.UNSET)

Attributes = Mapping[str, str | int]
Entered = tuple[Token[str | None], Token[Context]]


class Spans:
    """Where the spans of one process go. Any thread may use it."""

    def __init__(
        self, processor: SpanProcessor, *, sampling: Sampling | None = None, resource: Resource | None = None
    ) -> None:
        self._processor = processor
        self.sampling = sampling_of_environment() if sampling is None else sampling
        self.resource = resource or _resource()

    @classmethod
    def of_environment(cls) -> Spans | None:
        """Return where the standard variables send spans; None if they name no receiver of traces."""
        if not traces_are_asked_for():
            return None
        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def share_with_programs(self) -> None:
        """Let the app's own spans go the same way, unless the app has said where they go."""
        if not isinstance(trace.get_tracer_provider(), TracerProvider):
            provider = TracerProvider(resource=self.resource)
            provider.add_span_processor(self._processor)
            trace.set_tracer_provider(provider)

    def emit(
        self,
        name: str,
        context: TraceContext,
        kind: str,
        start_ns: int,
        end_ns: int,
        attributes: Attributes,
        *,
        parent: TraceContext | None = None,
        links: Sequence[TraceContext] = (),
        error: str | None = None,
    ) -> None:
        """Send a span that has ended. `error`: the type of what it ended with."""
        span = ReadableSpan(
            name,
            _otel(context),
            None if parent is None else _otel(parent),
            self.resource,
            attributes if error is None else {**attributes, "error.type": error},
            links=[Link(_otel(link)) for link in links[:LINKS_MAX]],
            kind=_KINDS[kind],
            status=_OK if error is None else Status(StatusCode.ERROR, error),
            start_time=start_ns,
            end_time=max(end_ns, start_ns),
            instrumentation_scope=_SCOPE,
        )
        self._processor.on_end(span)

    @contextmanager
    def live(
        self,
        name: str | Callable[[], str],
        kind: str,
        attributes: Attributes,
        parent: TraceContext | None,
        seconds: float = 0.0,
    ) -> Iterator[TraceContext]:
        """Record the span of what the block does, and make it the current one there; a function names it at the end."""
        context = new_child(parent)
        start_ns = time_ns() - int(seconds * 1e9)
        error = None
        entered = enter(context)
        try:
            yield context
        except BaseException as raised:
            error = None if is_interruption(raised) else type(raised).__name__
            raise
        finally:
            leave(entered)
            self.emit(
                name if isinstance(name, str) else name(),
                context,
                kind,
                start_ns,
                time_ns(),
                attributes,
                parent=parent,
                error=error,
            )

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        self._processor.force_flush(int(FLUSH_SECONDS * 1000))
        self._processor.shutdown()


def current() -> TraceContext | None:
    """Return the span in which the caller runs, of whichever library; None if it runs in none."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return None
    return TraceContext(found.trace_id, found.span_id, found.trace_flags.sampled)


def enter(context: TraceContext) -> Entered:
    """Make a span the current one of this task or thread; returns what `leave` takes."""
    span = NonRecordingSpan(_otel(context))
    named = current_trace_id.set(f"{context.trace_id:032x}")
    return named, otel_context.attach(trace.set_span_in_context(span))


def leave(entered: Entered) -> None:
    """Make the span before it the current one again."""
    named, token = entered
    with suppress(ValueError):  # the task was closed from another one: what it set is gone with it
        current_trace_id.reset(named)
        otel_context.detach(token)


def nanoseconds(at: datetime) -> int:
    """Return an instant as spans have it."""
    return (at - _EPOCH) // _MICROSECOND * 1000


def _otel(context: TraceContext) -> SpanContext:
    flags = _SAMPLED if context.sampled else _UNSAMPLED
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)


def _resource() -> Resource:
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "sagaledger"}))
    return found
