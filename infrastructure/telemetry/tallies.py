"""Counters and histograms of one process, cheap to add to: a worker adds for many sagas under one lock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from threading import Lock
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ...domain.saga.item_names import split_item_name
from .catalogue import (
    METRICS,
    NAMESPACE,
    SAGA_DURATION,
    SAGA_SECONDS,
    SAGAS_ENDED,
    SAGAS_STARTED,
    STEP_ATTEMPTS,
    STEP_DURATION,
    STEP_SECONDS,
    Metric,
)

SERIES_MAX: Final = 10_000
"""With more series than these, further values are counted together, under the labels `other`."""
OTHER: Final = "other"

Series = tuple[str, ...]
"""A metric's name and the values of its labels."""
Buckets = list[float]
"""How many values are in each bucket, those above all bounds, and the sum."""


class StepTally:
    """The attempts at one step."""

    __slots__ = ("forward", "others", "step", "succeeded", "undoing")

    def __init__(self, step: str) -> None:
        self.step = step
        self.forward = 0
        self.undoing = 0
        self.succeeded = new_buckets(STEP_SECONDS)
        """How long the attempts at its action took that succeeded: nearly all of them."""
        self.others: dict[tuple[str, str], Buckets] = {}
        """The same of all others, by direction and outcome."""

    def observe(self, direction: str, outcome: str, seconds: float) -> None:
        """Add an attempt that is not a success of the action."""
        buckets = self.others.setdefault((direction, outcome), new_buckets(STEP_SECONDS))
        add_to(buckets, STEP_SECONDS, seconds)


class SagaTally:
    """The sagas of one definition. A step is found by its name, and an item of a list by that of its step."""

    __slots__ = ("ended", "room", "started", "steps")

    def __init__(self, room: int) -> None:
        self.room = room
        """How many steps it may tell apart."""
        self.started = 0
        self.ended: dict[str, Buckets] = {}
        """By status, how long they took."""
        self.steps: dict[str, StepTally] = {}

    def step(self, name: str) -> StepTally:
        """Return the tally of a step that is not found by this name."""
        item = split_item_name(name)
        label = name if item is None else item[0]
        if label not in self.steps and len(self.steps) >= self.room:
            label = OTHER
        found = self.steps.get(label)
        if found is None:
            found = self.steps[label] = StepTally(label)
        return found

    def end(self, status: str, seconds: float) -> None:
        """Add a saga that ended."""
        add_to(self.ended.setdefault(status, new_buckets(SAGA_SECONDS)), SAGA_SECONDS, seconds)


class Tallies(Collector):
    """The counters and histograms. Whoever adds to them holds `lock`."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.sagas: dict[str, SagaTally] = {}
        self._counts: dict[Series, int] = {}
        self._histograms: dict[Series, Buckets] = {}
        self._bounds = {metric.name: metric.buckets for metric in METRICS if metric.buckets}

    def saga(self, definition: str) -> SagaTally:
        """Return the tally of a definition that is not found in `sagas`."""
        steps = sum(len(tally.steps) for tally in self.sagas.values())
        if len(self.sagas) + steps >= SERIES_MAX:
            definition = OTHER
        found = self.sagas.get(definition)
        if found is None:
            found = self.sagas[definition] = SagaTally(max(SERIES_MAX - len(self.sagas) - steps, 1))
        return found

    def count(self, *series: str) -> None:
        """Add 1 to another counter. The first argument is the metric's name, the others are its labels."""
        counts = self._counts
        if series not in counts and len(counts) >= SERIES_MAX:
            series = _other(series)
        counts[series] = counts.get(series, 0) + 1

    def observe(self, value: float, *series: str) -> None:
        """Add a value to another histogram."""
        if series not in self._histograms and len(self._histograms) >= SERIES_MAX:
            series = _other(series)
        bounds = self._bounds[series[0]]
        add_to(self._histograms.setdefault(series, new_buckets(bounds)), bounds, value)

    def collect(self) -> Iterator[Family]:
        """Yield what was counted so far."""
        with self.lock:
            counts = dict(self._counts)
            histograms = {series: list(buckets) for series, buckets in self._histograms.items()}
            for definition, tally in self.sagas.items():
                _add_sagas(definition, tally, counts, histograms)
        for metric in METRICS:
            if metric.kind == "counter":
                yield _counter(metric, counts)
            elif metric.kind == "histogram":
                yield _histogram(metric, histograms)


def new_buckets(bounds: Iterable[float]) -> Buckets:
    """Return the empty buckets of a histogram."""
    return [0.0 for _ in bounds] + [0.0, 0.0]


def add_to(buckets: Buckets, bounds: tuple[float, ...], value: float) -> None:
    """Add a value to a histogram."""
    buckets[bisect_left(bounds, value)] += 1
    buckets[-1] += value


def _add_sagas(definition: str, tally: SagaTally, counts: dict[Series, int], histograms: dict[Series, Buckets]) -> None:
    if tally.started:
        counts[SAGAS_STARTED.name, definition] = tally.started
    for status, buckets in tally.ended.items():
        counts[SAGAS_ENDED.name, definition, status] = int(sum(buckets[:-1]))
        histograms[SAGA_DURATION.name, definition, status] = list(buckets)
    for step in tally.steps.values():
        for direction, attempts in (("forward", step.forward), ("compensation", step.undoing)):
            if attempts:
                counts[STEP_ATTEMPTS.name, definition, step.step, direction] = attempts
        if any(step.succeeded):
            histograms[STEP_DURATION.name, definition, step.step, "forward", "succeeded"] = list(step.succeeded)
        for (direction, outcome), buckets in step.others.items():
            histograms[STEP_DURATION.name, definition, step.step, direction, outcome] = list(buckets)


def _counter(metric: Metric, counts: dict[Series, int]) -> Family:
    family = CounterMetricFamily(NAMESPACE + metric.name, metric.help, labels=metric.labels)
    for (name, *labels), count in counts.items():
        if name == metric.name:
            family.add_metric(labels, count)
    return family


def _histogram(metric: Metric, histograms: dict[Series, Buckets]) -> Family:
    family = HistogramMetricFamily(NAMESPACE + metric.name, metric.help, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
    for (name, *labels), buckets in histograms.items():
        if name == metric.name:
            cumulative = list(zip(bounds, accumulate(buckets[:-1]), strict=True))
            family.add_metric(labels, cumulative, sum_value=buckets[-1])
    return family


def _other(series: Series) -> Series:
    return (series[0], *(OTHER for _ in series[1:]))
