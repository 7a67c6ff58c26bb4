"""`Telemetry`: what a program opens a ledger with to be observed from outside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Protocol, Self

from opentelemetry.sdk.trace import SpanProcessor
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ...domain.recorded_event import RecordedEvent
from ..ledger.context import HasContext
from ..runtime.observer import AppendFacts, SagaAppend
from ..runtime.trace_context import TraceContext, parse_traceparent
from .appended_events import AppendedEvents
from .catalogue import (
    BUILD_INFO,
    CHECKPOINT_AGE,
    METRICS,
    NAMESPACE,
    REQUEST_DURATION,
    SSE_SUBSCRIBERS,
    VERIFIED_POSITION,
    VERIFY_PROBLEMS,
    WORKER_SAGAS,
    WORKER_SLOTS,
)
from .ledger_gauges import LedgerGauges, Reading
from .observed_saga import ObservedSaga
from .span_ids import root_of
from .spans import Attributes, Spans, current
from .tallies import OTHER, Tallies

log = logging.getLogger(__name__)

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""The media type of the text that `metrics_text` returns."""


_NOT_TRACED: Final = nullcontext(None)


class HasHealth(Protocol):
    """A worker, as far as its gauges ask."""

    @property
    def concurrency(self) -> int: ...
    def health(self) -> Any: ...


class Request:
    """One request to an HTTP API, as telemetry sees it."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.route = "unknown"
        """The template of the path, such as `/sagas/{id}`: never the path itself."""
        self.status = 500
        self.traceparent: str | None = None
        """The trace context of the request; it is the current one, so that `Ledger.start` finds it by itself."""

    def answered(self, route: str, status: int) -> None:
        """Say which route the request took, and how it was answered."""
        self.route, self.status = route, status


class Telemetry:
    """Counts and traces what is done on the ledgers opened with it: `Ledger.open(url, app, observer=telemetry)`.

    Metrics are always counted. Spans are sent where the standard variables of OpenTelemetry say, or to `processor`.
    Close it after the ledger, so that the last spans are sent. Any thread may use it.
    """

    def __init__(self, *, processor: SpanProcessor | None = None) -> None:
        self.spans = Spans.of_environment() if processor is None else Spans(processor)
        self._tallies = Tallies()
        self._appended = AppendedEvents(self._tallies, self.spans)
        self._gauges = _Gauges()
        self._registry = CollectorRegistry()
        self._registry.register(self._tallies)
        self._registry.register(self._gauges)
        self._has_failed = False

    # Metrics

    def metrics_text(self) -> bytes:
        """Return every metric in the text format of Prometheus; its media type is `CONTENT_TYPE`.

        With a ledger that is watched it asks the database, at most once in five seconds: not on an event loop.
        """
        return generate_latest(self._registry)

    @property
    def registry(self) -> CollectorRegistry:
        """The registry of these metrics, for programs that serve their own metrics with them."""
        return self._registry

    def watch(self, ledger: HasContext) -> None:
        """From here on the metrics have the gauges of this ledger, which the database answers."""
        self._gauges.ledger = LedgerGauges(ledger.context)

    def watch_worker(self, worker: HasHealth) -> None:
        """From here on the metrics have the gauges of this worker."""
        self._gauges.worker = lambda: (worker.health().sagas_held, worker.concurrency)

    def subscribed(self, by: int) -> None:
        """Add to the number of readers that follow the log over HTTP, or subtract from it."""
        self._gauges.subscribe(by)

    def verified(self, position: int, problems: int) -> None:
        """Note that the log was verified up to a position, with so many problems."""
        self._gauges.verified = (position, problems)

    def checkpoint_age(self, seconds: Callable[[], float | None]) -> None:
        """Ask this at each scrape for the age of the log's latest checkpoint; None: there is none."""
        self._gauges.checkpoint_seconds = seconds

    # Requests to an HTTP API

    @contextmanager
    def request(self, method: str, traceparent: str | None) -> Iterator[Request]:
        """Record the span of a request, and its duration. `traceparent` is its header; a malformed one is ignored.

        Say by `Request.answered` how it was answered, before the block ends.
        """
        request = Request(method)
        began = perf_counter()
        attributes: dict[str, str | int] = {"http.request.method": method}
        try:
            parent = parse_traceparent(traceparent)
            with self._span(lambda: f"{method} {request.route}", "server", attributes, parent) as context:
                request.traceparent = context
                try:
                    yield request
                finally:
                    attributes["http.route"] = request.route
                    attributes["http.response.status_code"] = request.status
        finally:
            with self._tallies.lock:
                counted = method if method in METHODS else OTHER  # a client can send any word
                series = (REQUEST_DURATION.name, request.route, counted, str(request.status))
                self._tallies.observe(perf_counter() - began, *series)

    # What the ledger tells

    def starting(self, saga_id: str, traceparent: str | None) -> ObservedSaga:
        """See `Observer.starting`."""
        context = None if traceparent is None else parse_traceparent(traceparent)
        takes = self._takes(saga_id, context)
        if context is not None or not takes:
            return ObservedSaga(saga_id, context, recorded=takes)
        saga = ObservedSaga(saga_id, root_of(saga_id, datetime.now(UTC)), recorded=True)
        saga.starts = True
        return saga

    def claimed(self, saga_id: str, history: Sequence[RecordedEvent]) -> ObservedSaga:
        """See `Observer.claimed`. A saga that no caller gave a trace begins one, if its id is among the share."""
        first = history[0]
        context = parse_traceparent(first.meta.traceparent)
        takes = self._takes(saga_id, context)
        begins = context is None and takes
        if begins:
            context = root_of(saga_id, first.event.at)
        saga = ObservedSaga(saga_id, context, recorded=takes)
        saga.starts = begins and len(history) == 1
        saga.replay(history)
        return saga

    def _takes(self, saga_id: str, context: TraceContext | None) -> bool:
        """Whether to record the spans of a saga, which a caller may have given a trace."""
        return self.spans is not None and self.spans.sampling.takes(saga_id, context)

    def appended(self, sagas: Sequence[SagaAppend], facts: AppendFacts) -> None:
        """See `Observer.appended`. Logs its first error, and raises none: what is observed goes on."""
        try:
            self._appended.note(sagas, facts)
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                log.exception("what was appended could not be counted; further such errors are not logged")

    def starts(self, definition: str, saga_id: str, traceparent: str | None) -> AbstractContextManager[str | None]:
        """See `Observer.starts`."""
        parent = current() if traceparent is None else parse_traceparent(traceparent)
        if not self._takes(saga_id, parent):
            return _NOT_TRACED if parent is None else nullcontext(str(parent))
        attributes = {"saga.id": saga_id, "saga.definition": definition}
        assert self.spans is not None  # noqa: S101 -- it takes the saga
        return _as_text(self.spans.live(f"start {definition}", "producer", attributes, parent))

    def span(
        self,
        name: str,
        kind: str,
        attributes: Attributes,
        *,
        parent: str | None = None,
        seconds: float | None = None,
    ) -> AbstractContextManager[str | None]:
        """See `Observer.span`."""
        return self._span(name, kind, attributes, parse_traceparent(parent), seconds or 0.0)

    def _span(
        self,
        name: str | Callable[[], str],
        kind: str,
        attributes: Attributes,
        parent: TraceContext | None,
        seconds: float = 0.0,
    ) -> AbstractContextManager[str | None]:
        parent = parent or current()
        passed = None if parent is None else str(parent)
        if self.spans is None:
            return nullcontext(passed)
        if not self.spans.sampling.takes(str(perf_counter()), parent):
            return nullcontext(passed)
        return _as_text(self.spans.live(name, kind, attributes, parent, seconds))

    # Ending

    def close(self) -> None:
        """Send the spans that are not sent yet, for a few seconds at most."""
        if self.spans is not None:
            self.spans.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Gauges(Collector):
    """The values of this moment."""

    def __init__(self) -> None:
        self.ledger: LedgerGauges | None = None
        self.worker: Callable[[], tuple[int, int]] | None = None
        self.verified: tuple[int, int] | None = None
        self.checkpoint_seconds: Callable[[], float | None] | None = None
        self._subscribers = 0
        self._lock = Lock()

    def subscribe(self, by: int) -> None:
        with self._lock:
            self._subscribers += by

    def describe(self) -> list[Family]:
        """Return nothing: the database is not asked when this is registered."""
        return []

    def collect(self) -> Iterator[Family]:
        readings = self._of_process() + ([] if self.ledger is None else self.ledger.readings())
        for metric in METRICS:
            if metric.kind == "gauge":
                family = GaugeMetricFamily(NAMESPACE + metric.name, metric.help, labels=metric.labels)
                for reading in readings:
                    if reading.metric is metric:
                        family.add_metric(reading.labels, reading.value)
                yield family

    def _of_process(self) -> list[Reading]:
        found = [Reading(BUILD_INFO, (_version(),), 1), Reading(SSE_SUBSCRIBERS, (), self._subscribers)]
        if self.worker is not None:
            held, slots = self.worker()
            found += [Reading(WORKER_SAGAS, (), held), Reading(WORKER_SLOTS, (), slots)]
        if self.verified is not None:
            position, problems = self.verified
            found += [Reading(VERIFIED_POSITION, (), position), Reading(VERIFY_PROBLEMS, (), problems)]
        age = None if self.checkpoint_seconds is None else self.checkpoint_seconds()
        return found if age is None else [*found, Reading(CHECKPOINT_AGE, (), age)]


@contextmanager
def _as_text(span: AbstractContextManager[TraceContext]) -> Iterator[str]:
    with span as context:
        yield str(context)


def _version() -> str:
    try:
        return version("sagaledger")
    except PackageNotFoundError:
        return "unknown"
