"""What happens in a campaign, and when: drawn from a seed, before anything runs."""

from __future__ import annotations

import random
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

CALM_ROUNDS_MIN = 2
"""Rounds without a blow, so that the ledger is seen at ease, too."""
DELAY_SECONDS_MAX = 0.3
"""A blow falls within this time of its round's beginning, while the round's sagas start and run."""


class Blow(StrEnum):
    """What is done to the system."""

    NONE = "none"
    KILL = "kill"
    """SIGKILL of a worker; another process takes its place."""
    FREEZE = "freeze"
    """SIGSTOP of a worker until its lease is over, and SIGCONT: it believes that no time has passed."""
    CRASH = "crash"
    """`pg_ctl stop -m immediate`: the database loses what it has not written down, and starts again."""
    CUT = "cut"
    """Every connection to the database is cut at once."""
    LOSE_REPLY = "lose reply"
    """The database's answer to the next append is dropped, and its connection cut."""
    HOLD_BACK = "hold back"
    """The next append of a worker is under way for longer than its lease, and arrives when others have taken over."""


class Settings(NamedTuple):
    """The size of a campaign."""

    sagas: int = 500
    workers: int = 3
    kills: int = 20
    crashes: int = 1
    freezes: int = 3
    cuts: int = 5
    lost_replies: int = 5
    held_back: int = 5
    lease_seconds: float = 2.0
    misbehave: float = 0.15
    """The share of requests with which something goes wrong in the service that is called."""
    decline_rate: str = "0.1"
    seed: int = 1
    file: Path | None = None
    """Real orders; None: the bundled ones."""
    settle_seconds_max: float = 120.0
    """How long after the last blow every saga may take to end."""


class Round(NamedTuple):
    """So many sagas start, and a blow falls."""

    number: int
    sagas: int
    blow: Blow
    target: int
    """Which worker it hits."""
    delay_seconds: float
    """After the round's beginning."""


def schedule(settings: Settings) -> list[Round]:
    """The rounds of a campaign; the same seed and size give the same ones."""
    chance = random.Random(settings.seed)  # noqa: S311 -- the same schedule in every run
    blows = (
        [Blow.KILL] * settings.kills
        + [Blow.FREEZE] * settings.freezes
        + [Blow.CRASH] * settings.crashes
        + [Blow.CUT] * settings.cuts
        + [Blow.LOSE_REPLY] * settings.lost_replies
        + [Blow.HOLD_BACK] * settings.held_back
        + [Blow.NONE] * CALM_ROUNDS_MIN
    )
    chance.shuffle(blows)
    each, rest = divmod(settings.sagas, len(blows))
    return [
        Round(
            number=number,
            sagas=each + (number <= rest),
            blow=blow,
            target=chance.randrange(settings.workers),
            delay_seconds=chance.uniform(0, DELAY_SECONDS_MAX),
        )
        for number, blow in enumerate(blows, start=1)
    ]
