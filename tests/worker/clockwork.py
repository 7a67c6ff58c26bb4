"""An app with a schedule that starts a saga each second, and one that starts every ten minutes."""

from __future__ import annotations

from sagaledger import App, Saga, Schedule, StepContext, Tick

chime = Saga("chime", input=str)


@chime.step(compensable=False)
def ring(at: str, _: StepContext) -> str:
    return at


def at_of(tick: Tick) -> str:
    return tick.at.isoformat()


EVERY_SECOND = Schedule("every_second", chime, cron="* * * * * *", input=at_of, overlap="allow", catch_up="all")
SOMETIMES = Schedule("sometimes", chime, cron="*/10 * * * *", input=at_of, overlap="allow", catch_up="all")
APP = App(sagas=[chime], schedules=[EVERY_SECOND])
"""For real workers on the real clock."""
TEN_MINUTES = App(sagas=[chime], schedules=[SOMETIMES])
"""For schedulers with a clock of the test's."""
