"""Callers on an event loop that wait for sagas and for views: one poll of the database serves all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import NamedTuple, TypeVar

from ...domain.errors import SagaledgerError
from ...domain.saga.evolve import fold_all
from ...domain.saga.state import SagaState
from ..errors import NEEDS_A_PERSON, OutcomeUnknown, TimedOut, Unavailable
from ..read_models.checkpoints import Checkpoint
from ..read_models.queries import behind
from .context import LedgerContext
from .state_reader import check_saga_id, state_now
from .stream_reader import read_streams

T = TypeVar("T")

SAGAS_PER_READ = 500
PAUSE_SECONDS_MIN = 0.01
PAUSE_SECONDS_MAX = 0.1
"""How long a poll pauses when nothing has changed; the pauses grow from the one to the other."""
AWAY_SECONDS = 0.5
"""How long it pauses when the database is away."""
REST_SHARE = 2
"""After it has read all awaited sagas it reads them again only once it has rested for so many times as long."""


class AwaitedSaga(NamedTuple):
    """The callers that wait for one saga, and its state as it was last seen."""

    state: SagaState
    callers: set[asyncio.Future[SagaState]]


class AwaitedView(NamedTuple):
    """A caller that waits until a view has folded the log up to a position."""

    position: int
    caller: asyncio.Future[None]


class Question(NamedTuple):
    """What one poll asks the database."""

    head: int
    """Where the log ended when all sagas were last read."""
    sagas: Mapping[str, SagaState]
    unseen: Collection[str]
    """The sagas to be read even if the log has not grown."""
    all_if_grown: bool
    views: Collection[str]


class Seen(NamedTuple):
    """What one poll found: the sagas that it read, with what keeps one from being read, and the views."""

    head: int
    """Where the log ended when all sagas were last read: now, or before."""
    sagas: Mapping[str, SagaState | SagaledgerError]
    views: Mapping[str, Checkpoint | SagaledgerError]


class PendingWaits:
    """The waits of one event loop. `run` makes a call that blocks, on a thread.

    A database that is away is waited for: the callers' own timeouts bound that. What a person must mend is raised.
    """

    def __init__(self, context: LedgerContext, run: Callable[[Callable[[], Seen]], Awaitable[Seen]]) -> None:
        self._context = context
        self._run = run
        self._sagas: dict[str, AwaitedSaga] = {}
        self._unseen: set[str] = set()
        self._views: dict[str, list[AwaitedView]] = {}
        self._added = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._head = -1
        self._read_all_at = 0.0
        """When all sagas may be read again."""
        self._away: Exception | None = None
        """Why the database could not be asked the last time."""
        self._checkpoints: dict[str, Checkpoint] = {}
        """Where the awaited views stood the last time."""

    async def saga(self, saga_id: str, timeout_seconds: float) -> SagaState:
        """Wait until a saga has ended or needs a person.

        Raises `SagaNotFound`, and `TimedOut` with the saga's status at that moment.
        """
        check_saga_id(saga_id)
        caller: asyncio.Future[SagaState] = asyncio.get_running_loop().create_future()
        if saga_id not in self._sagas:
            self._sagas[saga_id] = AwaitedSaga(SagaState(saga_id), set())
            self._unseen.add(saga_id)
        self._sagas[saga_id].callers.add(caller)
        self._poll_soon()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await caller
        except TimeoutError:
            state = self._sagas[saga_id].state
            status = f"is still {state.status}" if state.version else "was not read yet"
            raise TimedOut(f"saga {saga_id!r} {status} after {timeout_seconds:g} seconds{self._because}") from None
        finally:
            self._leave(saga_id, caller)

    async def view(self, view: str, position: int, timeout_seconds: float) -> None:
        """Wait until a view has folded the log up to a position.

        Raises `InvalidInput` for an unknown view, and `TimedOut` with where the view stands.
        """
        wait = AwaitedView(position, asyncio.get_running_loop().create_future())
        self._views.setdefault(view, []).append(wait)
        self._poll_soon()
        try:
            async with asyncio.timeout(timeout_seconds):
                await wait.caller
        except TimeoutError:
            checkpoint = self._checkpoints.get(view)
            if checkpoint is not None and self._away is None:
                raise behind(checkpoint, position, timeout_seconds) from None
            raise TimedOut(f"view {view!r} was not read after {timeout_seconds:g} seconds{self._because}") from None
        finally:
            self._views[view].remove(wait)
            if not self._views[view]:
                del self._views[view]
                self._checkpoints.pop(view, None)

    @property
    def _because(self) -> str:
        return "" if self._away is None else f"; the database is away: {self._away}"

    def _fail(self, error: Exception) -> None:
        """Raise an error where each caller waits."""
        for wait in self._sagas.values():
            for caller in wait.callers:
                _answer(caller, error)
        for waits in self._views.values():
            for each in waits:
                _answer(each.caller, error)

    async def close(self, error: Exception) -> None:
        """End every wait with an error, and the poll."""
        self._fail(error)
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])

    def _leave(self, saga_id: str, caller: asyncio.Future[SagaState]) -> None:
        wait = self._sagas[saga_id]
        wait.callers.discard(caller)
        if not wait.callers:
            del self._sagas[saga_id]
            self._unseen.discard(saga_id)

    def _poll_soon(self) -> None:
        self._added.set()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll(), name="sagaledger waits")

    async def _poll(self) -> None:
        """Ask the database again and again, as long as a caller waits."""
        pause_seconds = PAUSE_SECONDS_MIN
        while self._sagas or self._views:
            self._added.clear()
            try:
                changed = self._take(await self._look())
                pause_seconds = PAUSE_SECONDS_MIN if changed else min(pause_seconds * 1.5, PAUSE_SECONDS_MAX)
            except NEEDS_A_PERSON as error:
                self._fail(error)
            except (Unavailable, OutcomeUnknown) as error:
                self._away = error
                pause_seconds = AWAY_SECONDS
            except Exception as error:  # noqa: BLE001 -- an error of this program is raised where the callers wait
                self._fail(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._added.wait()

    async def _look(self) -> Seen:
        states = {saga_id: wait.state for saga_id, wait in self._sagas.items()}
        began = monotonic()
        question = Question(self._head, states, set(self._unseen), began >= self._read_all_at, list(self._views))
        seen = await self._run(partial(look, self._context, question))
        if seen.head != self._head:
            self._head = seen.head
            self._read_all_at = monotonic() + REST_SHARE * (monotonic() - began)
        return seen

    def _take(self, seen: Seen) -> bool:
        """Note what was seen, and answer those whose wait is over. Returns whether anything has changed."""
        self._away = None
        changed = False
        for saga_id, found in seen.sagas.items():
            self._unseen.discard(saga_id)
            wait = self._sagas.get(saga_id)
            if wait is None:
                continue
            if isinstance(found, SagaState):
                changed = changed or found.version > wait.state.version
                self._sagas[saga_id] = wait._replace(state=found)
            if isinstance(found, Exception) or found.end is not None or found.interventions:
                for caller in wait.callers:
                    _answer(caller, found)
        for view, checkpoint in seen.views.items():
            if isinstance(checkpoint, Checkpoint):
                changed = changed or self._checkpoints.get(view) != checkpoint
                self._checkpoints[view] = checkpoint
            for each in self._views.get(view, ()):
                if isinstance(checkpoint, Exception):
                    _answer(each.caller, checkpoint)
                elif checkpoint.position >= each.position:
                    _answer(each.caller, None)
        return changed


def look(context: LedgerContext, question: Question) -> Seen:
    """Read what is asked. It blocks. Raises `Unavailable`, and what a person must mend."""
    head = context.backend.head().position if question.sagas else question.head
    read_all = head != question.head and question.all_if_grown
    wanted = list(question.sagas if read_all else question.unseen)
    sagas: dict[str, SagaState | SagaledgerError] = {}
    for begin in range(0, len(wanted), SAGAS_PER_READ):
        part = {saga_id: question.sagas[saga_id] for saga_id in wanted[begin : begin + SAGAS_PER_READ]}
        sagas |= _read_on(context, part)
    views = {view: _checkpoint(context, view) for view in question.views}
    return Seen(head if read_all else question.head, sagas, views)


def _read_on(context: LedgerContext, known: Mapping[str, SagaState]) -> dict[str, SagaState | SagaledgerError]:
    """Read on in sagas from the state in which each was last seen."""
    choreographed = [saga_id for saga_id in known if context.app.choreography_of(saga_id) is not None]
    reads = read_streams(
        context.backend,
        context.codec,
        [(saga_id, state.version) for saga_id, state in known.items() if saga_id not in choreographed],
    )
    found: dict[str, SagaState | SagaledgerError] = dict(reads.unreadable)
    for saga_id, events in reads.readable.items():
        found[saga_id] = fold_all(known[saga_id], (recorded.event for recorded in events))
    unexplained = [saga_id for saga_id, state in known.items() if saga_id not in found and not state.version]
    foreign = [saga_id for saga_id, state in found.items() if isinstance(state, SagaState) and not state.started_at]
    return dict(known) | found | _read_whole(context, {*choreographed, *unexplained, *foreign})


def _read_whole(context: LedgerContext, saga_ids: Collection[str]) -> dict[str, SagaState | SagaledgerError]:
    """Read sagas one by one: a choreographed one is derived anew, and one that does not exist has a reason."""
    found: dict[str, SagaState | SagaledgerError] = {}
    for saga_id in saga_ids:
        try:
            found[saga_id] = state_now(context, saga_id)
        except (Unavailable, OutcomeUnknown, *NEEDS_A_PERSON):
            raise
        except SagaledgerError as error:
            found[saga_id] = error
    return found


def _checkpoint(context: LedgerContext, view: str) -> Checkpoint | SagaledgerError:
    try:
        return context.queries.checkpoint(view)
    except (Unavailable, OutcomeUnknown, *NEEDS_A_PERSON):
        raise
    except SagaledgerError as error:
        return error


def _answer(caller: asyncio.Future[T], answer: T | Exception) -> None:
    if caller.done():
        return
    if isinstance(answer, Exception):
        caller.set_exception(answer)
    else:
        caller.set_result(answer)
