"""The production domain and engine in a simulated world that follows from a seed.

`pytest tests/simulation --seeds 10000` simulates more seeds, `--seed 7` only that one.
"""

from __future__ import annotations

import pytest

from .invariants import violations
from .world import World

SEEDS_PER_TEST = 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Group the seeds, so that they can be spread over processes."""
    if "seeds" in metafunc.fixturenames:
        one, many = metafunc.config.getoption("seed"), metafunc.config.getoption("seeds")
        starts = range(0, many, SEEDS_PER_TEST)
        handfuls = [range(start, min(start + SEEDS_PER_TEST, many)) for start in starts] if one is None else [[one]]
        metafunc.parametrize("seeds", handfuls, ids=[f"{seeds[0]}-{seeds[-1]}" for seeds in handfuls])


def test_whatever_breaks_every_promise_holds(seeds: range) -> None:
    """Workers die, stall and are cut off, and people interfere: every invariant holds."""
    for seed in seeds:
        world = World(seed)
        world.run()
        found = violations(world)
        assert not found, f"seed {seed} (`pytest tests/simulation --seed {seed}`): " + "; ".join(found[:10])


def test_a_seed_decides_everything() -> None:
    """The same seed twice gives the same log, byte for byte, so a failure can be reproduced."""
    heads = []
    for _ in range(2):
        world = World(7)
        world.run()
        heads.append(world.log.head())

    assert heads[0] == heads[1]
