"""How things are measured: contenders in turn, medians of rounds, percentiles of single waits.

Contenders take turns, so that a slow minute of the machine slows all of them, and a ratio is taken within a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from statistics import median
from time import perf_counter

PERCENTS = (50, 95, 99)


class Rounds(dict[str, list[float]]):
    """The result of each contender in each round."""

    def median(self, name: str) -> float:
        """Return the median of a contender's rounds."""
        return median(self[name])

    def ratio(self, name: str, to: str) -> float:
        """Return the median of the rounds' ratios of two contenders: what slows a round slows both."""
        return median(value / other for value, other in zip(self[name], self[to], strict=True))


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> Rounds:
    """Run each contender once in each round, one after the other. Each warms itself up."""
    came_to = Rounds((name, []) for name in contenders)
    for _ in range(rounds):
        for name, run in contenders.items():
            came_to[name].append(run())
    return came_to


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


class Stopwatch:
    """The time that a block took."""

    seconds = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block."""
    watch = Stopwatch()
    begun = perf_counter()
    yield watch
    watch.seconds = perf_counter() - begun


def seconds_of(action: Callable[[], object]) -> float:
    """Return how many seconds one call takes."""
    with stopwatch() as watch:
        action()
    return watch.seconds
