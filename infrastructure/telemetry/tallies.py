"""Counters and histograms of one process, cheap to add to: a worker adds for many sagas under one lock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from threading import Lock
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .catalogue import METRICS, NAMESPACE, Metric

SERIES_MAX: Final = 10_000
"""With more series than these, further values are counted together, under the labels `other`."""
OTHER: Final = "other"

Series = tuple[str, ...]
"""A metric's name and the values of its labels."""


class Tallies(Collector):
    """The counters and histograms. Whoever adds to them holds `lock`."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._counts: dict[Series, int] = {}
        self._histograms: dict[Series, list[float]] = {}
        """For each series how many values are in each bucket, those above all bounds, and the sum."""
        self._bounds = {metric.name: metric.buckets for metric in METRICS if metric.buckets}

    def count(self, *series: str) -> None:
        """Add 1 to a counter. The first argument is the metric's name, the others are its labels."""
        counts = self._counts
        if series not in counts and len(counts) >= SERIES_MAX:
            series = _other(series)
        counts[series] = counts.get(series, 0) + 1

    def observe(self, value: float, *series: str) -> None:
        """Add a value to a histogram."""
        found = self._histograms.get(series)
        bounds = self._bounds[series[0]]
        if found is None:
            if len(self._histograms) >= SERIES_MAX:
                series = _other(series)
            found = self._histograms.setdefault(series, [0.0] * (len(bounds) + 2))
        found[bisect_left(bounds, value)] += 1
        found[-1] += value

    def collect(self) -> Iterator[Family]:
        """Yield what was counted so far."""
        with self.lock:
            counts = dict(self._counts)
            histograms = {series: list(found) for series, found in self._histograms.items()}
        for metric in METRICS:
            if metric.kind == "counter":
                yield _counter(metric, counts)
            elif metric.kind == "histogram":
                yield _histogram(metric, histograms)


def _counter(metric: Metric, counts: dict[Series, int]) -> Family:
    family = CounterMetricFamily(NAMESPACE + metric.name, metric.help, labels=metric.labels)
    for (name, *labels), count in counts.items():
        if name == metric.name:
            family.add_metric(labels, count)
    return family


def _histogram(metric: Metric, histograms: dict[Series, list[float]]) -> Family:
    family = HistogramMetricFamily(NAMESPACE + metric.name, metric.help, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
    for (name, *labels), found in histograms.items():
        if name == metric.name:
            buckets = list(zip(bounds, accumulate(found[:-1]), strict=True))
            family.add_metric(labels, buckets, sum_value=found[-1])
    return family


def _other(series: Series) -> Series:
    return (series[0], *(OTHER for _ in series[1:]))
