"""The setting of a benchmark: databases, sizes, and the peers to compare with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from .databases import Databases


class Sizes(Struct, frozen=True, kw_only=True):
    """The amounts that are measured."""

    rounds: int
    """How often each contender runs; its median counts."""
    sagas_alone: int
    sagas_at_once: int
    """How many sagas run in a round of 64 or 512 at once. This takes some seconds, like each of the following."""
    dbos_sagas: int
    projected_events: int
    runner_events: int
    rebuilt_sagas: int
    growth_events: tuple[int, ...]
    looks: int
    """How often a log of one size is read; appends are a few times fewer."""
    hot_orders: int
    list_items: int
    """How many items the longest list of one saga has."""
    running_sagas: int
    waiting_sagas: int
    verified_events: int
    asked_events: int


TINY = Sizes(
    rounds=1,
    sagas_alone=5,
    sagas_at_once=40,
    dbos_sagas=8,
    projected_events=1_000,
    runner_events=100,
    rebuilt_sagas=30,
    growth_events=(500, 1_000),
    looks=8,
    hot_orders=30,
    list_items=40,
    running_sagas=20,
    waiting_sagas=20,
    verified_events=1_000,
    asked_events=500,
)
"""Only enough to show that every benchmark works."""

SHORT = Sizes(
    rounds=3,
    sagas_alone=150,
    sagas_at_once=3_000,
    dbos_sagas=120,
    projected_events=50_000,
    runner_events=2_000,
    rebuilt_sagas=3_000,
    growth_events=(10_000, 100_000),
    looks=200,
    hot_orders=1_024,
    list_items=10_000,
    running_sagas=2_000,
    waiting_sagas=5_000,
    verified_events=50_000,
    asked_events=50_000,
)
"""Under ten minutes in all."""

FULL = Sizes(
    rounds=5,
    sagas_alone=1_000,
    sagas_at_once=20_000,
    dbos_sagas=1_000,
    projected_events=1_000_000,
    runner_events=20_000,
    rebuilt_sagas=100_000,
    growth_events=(100_000, 1_000_000, 10_000_000),
    looks=1_000,
    hot_orders=10_000,
    list_items=10_000,
    running_sagas=10_000,
    waiting_sagas=100_000,
    verified_events=1_000_000,
    asked_events=1_000_000,
)
"""The sizes of `results.json`: they take hours, mostly to grow to ten million events."""


class Setting(Struct, frozen=True, kw_only=True):
    """Everything that a benchmark receives."""

    databases: Databases
    backends: tuple[str, ...]
    sizes: Sizes
    orders_file: Path
    with_dbos: bool
    say: Callable[[str], None]
    """Prints what is being measured."""
