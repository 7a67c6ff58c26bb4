"""A worker process: the production engine, and its host without threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, cast

from sagaledger.domain.saga.events import CompensationStarted, Direction, StepStarted
from sagaledger.infrastructure.errors import OutcomeUnknown, SagaledgerError, Unavailable
from sagaledger.infrastructure.ledger.app import App
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.worker.coordination.reconciler import Reconciler
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.messages import AttemptEnded, Dispatch, Drain, EngineMessage, Reply

from .courier import Courier
from .network import Killed, Life, Weather, Wire
from .scheduler import Scheduler
from .store import SimulatedBackend

CONCURRENCY = 8
"""How many sagas a worker holds at once: fewer than there are in a run."""
STEP_SECONDS = 0.001
WAKE_SECONDS_MAX = 0.5
SWEEP_SECONDS = 5.0
ANSWER_SECONDS = 0.005
"""How long a process waits before it asks again for a pending reply."""


class IgnoredReply(Reply[Any]):
    """A reply that no caller waits for."""

    def __init__(self) -> None:
        """Needs no future."""

    def answer(self, answer: object) -> None:
        """Drop the answer."""


class Machine:
    """Everything that the processes of a run share."""

    def __init__(self, scheduler: Scheduler, random: Random, log: SimulatedBackend, courier: Courier, app: App) -> None:
        self.scheduler = scheduler
        self.random = random
        self.log = log
        self.courier = courier
        self.app = app
        self.weather: Callable[[], Weather] = Weather
        self.faults: list[str] = []
        """Violations by processes, as sentences."""

    def ledger(self, life: Life) -> Ledger:
        """Returns the ledger as a process sees it."""
        return Ledger(cast("Any", Wire(self.log, life, self.weather)), self.app, clock=life.clock)


class Process:
    """One life of a worker: from its start to a kill or a clean end."""

    def __init__(self, machine: Machine, *, lease_seconds: float, ended: Callable[[], None]) -> None:
        self._machine = machine
        self._scheduler = machine.scheduler
        self._lease_seconds = lease_seconds
        self._ended = ended
        self.life = Life(machine.scheduler, machine.random, ended)
        self._ledger = machine.ledger(self.life)
        self._reconciler = Reconciler(self._ledger.context)
        self._sweep_at = 0.0
        self._engine: Engine | None = None
        self._inbox: list[EngineMessage] = []
        self._busy = False
        self._retiring = False
        self._wake_at = 0.0
        self._wake(0.0)

    def post(self, message: EngineMessage) -> None:
        """Send the engine a message."""
        self._inbox.append(message)
        self._wake(STEP_SECONDS)

    def retire(self) -> None:
        """End it as by SIGTERM: it begins nothing new, and releases everything."""
        self._retiring = True
        self.post(Drain(IgnoredReply()))

    def _wake(self, seconds: float) -> None:
        at = self._scheduler.seconds + seconds
        self._wake_at = at
        self._scheduler.after(seconds, lambda: self._turn() if self._wake_at == at else None)

    def _turn(self) -> None:
        if self._busy or self.life.finished:
            return
        self._busy = True
        wait_seconds = WAKE_SECONDS_MAX
        try:
            wait_seconds = self._live()
        except Killed:
            return
        finally:
            self._busy = False
        if not self.life.finished:
            self._wake(STEP_SECONDS if self._inbox else wait_seconds)

    def _live(self) -> float:
        if self._engine is None:
            try:
                self._engine = Engine(self._ledger.context, concurrency=CONCURRENCY, lease_seconds=self._lease_seconds)
            except Unavailable:
                return WAKE_SECONDS_MAX  # its supervisor starts it again
        messages, self._inbox = self._inbox, []
        turn = self._engine.turn(messages)
        self._check_holdings(self._engine)
        for dispatch in turn.dispatch:
            self._check_lease(dispatch)
            self._machine.courier.call(dispatch, self._hear)
        for reply in turn.replies:
            reply()
        if self._retiring:
            self._engine.finish()
            self.life.end()
        self._sweep()
        wait_seconds = min(max(self._engine.seconds_to_wait(), STEP_SECONDS), WAKE_SECONDS_MAX)
        return wait_seconds if self._engine.pending is None else min(wait_seconds, ANSWER_SECONDS)

    def _hear(self, attempted: AttemptEnded) -> None:
        self.post(attempted)

    def _check_lease(self, dispatch: Dispatch) -> None:
        """Check that the lease holds under which an attempt's start was written, now that it begins (G6)."""
        attempt = dispatch.attempt
        kind = StepStarted if attempt.direction is Direction.FORWARD else CompensationStarted
        for row in reversed(self._machine.log.stream(dispatch.saga.saga_id)):
            recorded = self._ledger.context.codec.decode(row)
            if isinstance(recorded.event, kind) and (recorded.event.step, recorded.event.attempt) == (
                attempt.step,
                attempt.attempt,
            ):
                if not self._machine.log.lasts(recorded.meta.worker or ""):
                    self._machine.faults.append(f"{recorded.meta.worker} began {attempt.key} when its lease was over")
                return

    def _check_holdings(self, engine: Engine) -> None:
        """Check that it holds what the work queue says, unless appends are under way or it knows of a lost reply."""
        worker_id = engine._lease.token.worker_id
        if engine._group_commit.under_way or engine._in_doubt or not self._machine.log.lasts(worker_id):
            return
        held = {saga.saga_id for saga in engine._held if engine._starts.starting(saga.saga_id) is None}
        known = self._machine.log.held_by(worker_id)
        for saga_id in (held ^ known) - self._machine.log.lost_entries:
            where = "held, and free for others" if saga_id in held else "not held, and kept from others"
            self._machine.faults.append(f"{saga_id} is {where} by {worker_id} after {self._scheduler.seconds:.1f} s")

    def _sweep(self) -> None:
        if self._scheduler.seconds >= self._sweep_at:
            self._sweep_at = self._scheduler.seconds + SWEEP_SECONDS
            try:
                self._reconciler.sweep()
            except SagaledgerError:
                self._sweep_at = self._scheduler.seconds + 1.0


class People:
    """People at a shell: they start, cancel, signal and intervene, and try again when no answer comes."""

    TRIES_MAX = 20

    def __init__(self, machine: Machine) -> None:
        self._scheduler = machine.scheduler
        self._life = Life(machine.scheduler, machine.random, lambda: None)
        self._ledger = machine.ledger(self._life)
        self.busy = 0
        """How many of their commands are not done."""

    def will(self, seconds: float, what: Callable[[Ledger], object]) -> None:
        """Run a command after some seconds."""
        self.busy += 1
        self._scheduler.after(seconds, partial(self._do, what, 1))

    def _do(self, what: Callable[[Ledger], object], attempt: int) -> None:
        try:
            what(self._ledger)
        except Killed:
            self._life.finished = False  # this shell was killed; the next try opens another
        except (Unavailable, OutcomeUnknown):
            pass
        except SagaledgerError:
            attempt = self.TRIES_MAX  # impossible, or done before
        else:
            attempt = self.TRIES_MAX
        if attempt < self.TRIES_MAX:
            self._scheduler.after(0.5, partial(self._do, what, attempt + 1))
        else:
            self.busy -= 1
