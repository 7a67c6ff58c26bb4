"""When a projector leaves the views to another one, and when it folds again."""

from __future__ import annotations

from sagaledger.infrastructure.read_models.standby import LOSSES_MAX, STILL_SECONDS, Standby


class _Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _standing_by(clock: _Clock) -> Standby:
    standby = Standby(clock)
    for _ in range(LOSSES_MAX):
        standby.folded(in_vain=True)
    assert standby.watching
    return standby


def test_one_that_wins_now_and_then_goes_on() -> None:
    """Only a projector that loses several times in a row stands by."""
    standby = Standby(_Clock())

    for _ in range(3):
        for _ in range(LOSSES_MAX - 1):
            standby.folded(in_vain=True)
        standby.folded(in_vain=False)

    assert not standby.watching


def test_a_view_that_stands_still_is_folded_whatever_the_others_do() -> None:
    """The view that is furthest behind counts: the other projector may not have it."""
    clock = _Clock()
    standby = _standing_by(clock)

    for head in (20, 30):  # the log grows, and other views with it
        standby.look(10, head)
        clock.now += STILL_SECONDS / 2 + 0.01
        assert standby.watching
    standby.look(10, 40)

    assert not standby.watching


def test_a_view_that_moves_or_is_at_the_head_is_left_alone() -> None:
    """That holds however long it takes."""
    clock = _Clock()
    standby = _standing_by(clock)

    for hindmost, head in ((10, 20), (20, 30), (30, 30), (30, 30)):
        standby.look(hindmost, head)
        clock.now += 10 * STILL_SECONDS

    assert standby.watching


def test_one_that_folds_again_in_vain_stands_by_at_once() -> None:
    """One slow batch of the other projector is no reason to fold several batches in vain."""
    clock = _Clock()
    standby = _standing_by(clock)
    standby.look(10, 20)
    clock.now += STILL_SECONDS + 0.01
    standby.look(10, 20)
    assert not standby.watching

    standby.folded(in_vain=True)

    assert standby.watching
