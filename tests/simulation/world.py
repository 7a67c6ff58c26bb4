"""One run of the simulation: everything in it follows from its seed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, partial
from random import Random
from uuid import UUID

from sagaledger.domain.recorded_event import Meta, RecordedEvent
from sagaledger.domain.saga.events import Action, SagaStarted
from sagaledger.domain.saga.state import SagaState
from sagaledger.domain.shop import DECLINED_CARD, Order, OrderLine, ReceiveStock, Return, ReturnLine
from sagaledger.infrastructure.event_store.append_call import AppendCall
from sagaledger.infrastructure.event_store.work_queue import FencingToken
from sagaledger.infrastructure.ledger.ledger import Ledger
from sagaledger.infrastructure.ledger.saga_start import SagaStart
from sagaledger.infrastructure.ledger.stream_cache import StreamCache
from sagaledger.infrastructure.worker.messages import StartSaga

from .courier import Courier
from .network import FAIR, Weather
from .process import Machine, People, Process
from .scheduler import Scheduler
from .shop import ANSWER, APPROVAL, app_with
from .store import SimulatedBackend

STORM_SECONDS = 15.0
CALM_SECONDS_MAX = 120.0
"""Within this time after the faults every saga must have ended; the longest deadline is half of it."""
LOOK_SECONDS = 2.0
SETTLING_SECONDS = 7.0
"""After this time paused processes have resumed, and leases of dead ones have ended."""
EVERYTHING = 1_000_000
ARTICLES = ("lamp", "teapot")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class World:
    """The shop, its workers, its people, and the faults that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 -- it must be reproducible
        self.scheduler = Scheduler()
        self.log = SimulatedBackend(self.scheduler.now)
        self.courier = Courier(self.scheduler, self.random)
        self.app = app_with(self.courier)
        self.machine = Machine(self.scheduler, self.random, self.log, self.courier, self.app)
        self.ledger = Ledger(self.log, self.app)
        """The ledger without a network, for the checks."""
        self.lease_ends: dict[FencingToken, int] = {}
        self.log.lease_ended.append(self._lease_ended)
        self._weather = Weather(
            lost_requests=self._share(0.03),
            lost_replies=self._share(0.05),
            deaths=self._share(0.003),
            pauses=self._share(0.003),
            pause_seconds_max=6.0,
        )
        self.courier.trouble = self._share(0.3)
        self.machine.weather = lambda: self._weather
        self.people = People(self.machine)
        self._workers: list[Process] = []

    def run(self) -> None:
        """Stock the shop, run with faults, then without them until every saga has ended."""
        self._fill_shelves()
        for _ in range(self.random.randint(2, 3)):
            self._hire()
        self._take_orders()
        for seconds in self._moments(6):
            self.scheduler.after(seconds, self._misfortune)
        self.scheduler.let_pass(STORM_SECONDS)
        self._weather = FAIR
        self.courier.trouble = 0.0
        self._ask_questions()
        until = self.scheduler.seconds + CALM_SECONDS_MAX
        while self.scheduler.seconds < until and not self._rests():
            self.scheduler.let_pass(LOOK_SECONDS)
            self._attend_to_the_parked()
        self.scheduler.let_pass(LOOK_SECONDS)

    @cached_property
    def events(self) -> list[RecordedEvent]:
        """Everything that was recorded, once the run is over."""
        return [self.ledger.context.codec.decode(row) for row in self.log.read(0, limit=EVERYTHING)]

    def sagas(self) -> dict[str, SagaState]:
        """The state of every saga."""
        begun = [row.stream_id for row in self.log.read(0, limit=EVERYTHING, topics=(SagaStarted.schema.name,))]
        return {saga_id: self.ledger.state(saga_id) for saga_id in begun}

    # The beginning

    def _fill_shelves(self) -> None:
        stream_cache = StreamCache(self.app, self.log, self.ledger.context.codec)

        def receive() -> object:
            draft = stream_cache.draft("delivery", Meta())
            draft.handle([ReceiveStock(sku, self.random.randint(5, 60)) for sku in ARTICLES], self.scheduler.now())
            return draft

        [draft] = stream_cache.build([receive])
        self.log.append(AppendCall(self._uuid(), [draft.append()]))  # type: ignore[attr-defined]

    def _hire(self) -> None:
        """Start a worker; when it dies, another one replaces it after a while."""

        def replace() -> None:
            self._workers.remove(process)
            self.scheduler.after(self.random.uniform(0.1, 3.0), self._hire)

        process = Process(self.machine, lease_seconds=2.0, ended=replace)
        self._workers.append(process)

    def _take_orders(self) -> None:
        for number in range(self.random.randint(4, 8)):
            self._start_some_time("fulfil_order", self._order(f"F-{number}"))
        for number in range(self.random.randint(3, 6)):
            order = self._order(f"D-{number}")
            begins = self._start_some_time("deliver", order)
            approve = partial(
                Ledger.signal, saga_id=f"deliver-{order.order_id}", name=APPROVAL, actor="zoe",
                refused=self.random.random() < 0.1,
            )  # fmt: skip
            self.people.will(begins + self.random.uniform(0.2, 7.0), approve)
            if self.random.random() < 0.3:
                self._cancel(f"deliver-{order.order_id}", begins + self.random.uniform(0.2, 14.0))
        for number in range(self.random.randint(0, 2)):
            self._start_some_time("return_goods", self._return(f"R-{number}"))

    def _ask_questions(self) -> None:
        """Once there are no faults: start sagas that are answered while a worker holds them."""
        for number in range(2):
            seconds = SETTLING_SECONDS + self.random.uniform(0.0, 2.0)
            self.people.will(seconds, partial(Ledger.start, saga="ask", value=f"Q-{number}"))
            answer = partial(Ledger.signal, saga_id=f"ask-Q-{number}", name=ANSWER, actor="zoe")
            self.people.will(seconds + self.random.uniform(0.5, 2.0), answer)

    def _order(self, order_id: str) -> Order:
        lines = tuple(
            OrderLine(sku, self.random.randint(1, 6), self.random.randint(100, 5_000))
            for sku in self.random.sample(ARTICLES, self.random.randint(1, len(ARTICLES)))
        )
        method = DECLINED_CARD if self.random.random() < 0.2 else "card"
        return Order(order_id, NOON, lines, customer_id=self.random.choice(["ann", "bob"]), payment_method=method)

    def _return(self, return_id: str) -> Return:
        return Return(return_id, NOON, (ReturnLine(self.random.choice(ARTICLES), 1, 500),), customer_id="ann")

    # Faults and commands

    def _start_some_time(self, saga: str, value: Order | Return) -> float:
        """Start a saga at a shell, in a worker, or both; returns when."""
        seconds = self.random.uniform(0.0, STORM_SECONDS / 2)
        chance = self.random.random()
        if chance < 0.7:
            self.people.will(seconds, lambda ledger: ledger.start(saga, value))
        if chance > 0.5:
            saga_start = SagaStart.of(self.app.definition(saga), value, None)
            self.scheduler.after(seconds, lambda: self._tell_a_worker(StartSaga(saga_start, Meta(actor="zoe"), None)))
        return seconds

    def _tell_a_worker(self, start: StartSaga) -> None:
        if self._workers:
            self.random.choice(self._workers).post(start)

    def _cancel(self, saga_id: str, seconds: float) -> None:
        self.people.will(seconds, lambda ledger: ledger.cancel(saga_id, actor="zoe", reason="changed her mind"))

    def _misfortune(self) -> None:
        """Kill or retire a worker, lose a queue entry, or have a person retry the sagas that need one."""
        chance = self.random.random()
        if chance < 0.4 and self._workers:
            self.random.choice(self._workers).life.end()
        elif chance < 0.6 and self._workers:
            self.random.choice(self._workers).retire()
        elif chance < 0.8 and self.log.entries():
            self.log.lose_entry(self.random.choice(self.log.entries()).saga_id)
        else:
            self._attend_to_the_parked()

    def _attend_to_the_parked(self) -> None:
        for saga_id, state in self.sagas().items():
            for waiting in state.interventions if state.end is None else ():
                retry: Callable[[Ledger], object] = partial(
                    Ledger.intervene, saga_id=saga_id, action=Action.RETRY, actor="zoe", reason="try again",
                    step=waiting.step,
                )  # fmt: skip
                self.people.will(0.0, retry)

    # The end

    def _rests(self) -> bool:
        return not (self.people.busy or self.log.entries()) and all(
            state.end is not None for state in self.sagas().values()
        )

    def _lease_ended(self, epoch: FencingToken) -> None:
        self.lease_ends[epoch] = self.log.head().position

    def _moments(self, times: int) -> list[float]:
        return [self.random.uniform(0.0, STORM_SECONDS) for _ in range(times)]

    def _share(self, most: float) -> float:
        """Returns none, half or all of a fault's rate, for this run."""
        return self.random.choice([0.0, 0.5, 1.0]) * most

    def _uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))
