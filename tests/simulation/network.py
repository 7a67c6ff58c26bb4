"""The network between a process and the ledger: sometimes slow, and unreliable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

from sagaledger.infrastructure.errors import OutcomeUnknown, SagaledgerError, Unavailable
from sagaledger.infrastructure.event_store.append_call import AppendCall, Receipt
from sagaledger.infrastructure.runtime.clock import Clock

from .scheduler import Scheduler
from .store import SimulatedBackend


class Killed(BaseException):
    """The process was killed; it does nothing more."""


class Weather(NamedTuple):
    """The rates of faults, each as a share of calls."""

    lost_requests: float = 0.0
    lost_replies: float = 0.0
    deaths: float = 0.0
    pauses: float = 0.0
    pause_seconds_max: float = 0.0


FAIR = Weather()
ARRIVING_AT_ONCE = 0.5
"""The share of appends that are written before their sender goes on; the others are when it waits for them."""

ANSWERING_LATER = 0.8
"""How often a reply is still pending when it is asked for."""


class Life:
    """One life of one process: a kill ends it at whatever point it has reached."""

    def __init__(self, scheduler: Scheduler, random: Random, died: Callable[[], None]) -> None:
        self.scheduler = scheduler
        self.random = random
        self.finished = False
        self._died = died

    @property
    def clock(self) -> Clock:
        """Returns the process's clock; while it sleeps, others run."""
        return Clock(self.scheduler.now, self.scheduler.monotonic, self.wait)

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises `Killed` if the process died meanwhile."""
        self.scheduler.let_pass(seconds)
        if self.finished:
            raise Killed

    def end(self) -> None:
        """Kill it, as by SIGKILL."""
        if not self.finished:
            self.finished = True
            self._died()


class Wire:
    """A process's connection to the ledger; to the process it is the ledger (a `Backend`)."""

    writes_meanwhile = True
    has_own_clock = True

    def __init__(self, log: SimulatedBackend, life: Life, weather: Callable[[], Weather]) -> None:
        self.start_requests = None
        self._log = log
        self._life = life
        self._weather = weather

    def close(self) -> None:
        """There is nothing to release."""

    def send(self, call: AppendCall) -> Flight:
        """Send an append; it arrives at once, or when its sender waits for it."""
        flight = Flight(self, call)
        if self._life.random.random() < ARRIVING_AT_ONCE:
            flight.arrive()
        return flight

    def is_slow(self) -> bool:
        """Returns whether a reply is still pending."""
        return self._life.random.random() < ANSWERING_LATER

    def __getattr__(self, method: str) -> Any:
        ask = getattr(self._log, method)

        def call(*arguments: Any, **options: Any) -> Any:
            self._travel()
            if self._happens("lost_requests"):
                raise Unavailable("the request was lost")
            answer = ask(*arguments, **options)
            self._travel()
            if self._happens("lost_replies"):
                if method == "append":
                    raise OutcomeUnknown(str(arguments[0].append_id), "the reply was lost")
                raise Unavailable("the reply was lost")
            return answer

        setattr(self, method, call)
        return call

    def _travel(self) -> None:
        seconds = self._life.random.expovariate(1_000.0)
        if self._happens("pauses"):
            seconds += self._life.random.uniform(0.0, self._weather().pause_seconds_max)
        if self._happens("deaths"):
            self._life.end()
        self._life.wait(seconds)

    def _happens(self, what: str) -> bool:
        share: float = getattr(self._weather(), what)
        return share > 0.0 and self._life.random.random() < share


class Flight:
    """An append under way (a `PendingAppend`)."""

    def __init__(self, wire: Wire, call: AppendCall) -> None:
        self._wire = wire
        self._call = call
        self._arrived: Callable[[], Receipt] | None = None

    def arrive(self) -> None:
        """Append the call, unless it is lost."""
        try:
            receipt: Receipt = self._wire.append(self._call)
        except SagaledgerError as error:
            self._arrived = partial(_raise, error)
        else:
            self._arrived = lambda: receipt

    @property
    def pending(self) -> int | None:
        """A made-up descriptor while the reply is pending; there is none to wait on."""
        return -1 if self._wire.is_slow() else None

    def receipt(self) -> Receipt:
        """Returns the receipt."""
        if self._arrived is None:
            self.arrive()
        assert self._arrived is not None
        return self._arrived()

    def abandon(self) -> None:
        """Wait for no receipt."""


def _raise(error: SagaledgerError) -> Receipt:
    raise error
