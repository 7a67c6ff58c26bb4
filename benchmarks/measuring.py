"""How things are measured: contenders in turn, medians of rounds, percentiles of single waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from statistics import median
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
PERCENTS = (50, 95, 99)


def in_turn(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each contender came to, in each round.

    They take turns, so that a slow minute of the machine slows all of them and the ratios hold. Each warms itself up.
    """
    came_to: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            came_to[name].append(run())
    return came_to


def medians(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each contender's rounds."""
    return {name: median(values) for name, values in in_turn(contenders, rounds).items()}


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


class Stopwatch:
    """How long a block took."""

    seconds = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block."""
    watch = Stopwatch()
    begun = perf_counter()
    yield watch
    watch.seconds = perf_counter() - begun


def seconds_of(action: Callable[[], object]) -> float:
    """How long one call takes."""
    with stopwatch() as watch:
        action()
    return watch.seconds
