"""The rule of the work queue: when the log says that a saga wants a worker.

The reconciler restores entries by it, and `verify` compares the entries with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import NamedTuple

from ...domain.saga.decide import advance, awaited_sagas
from ...domain.saga.state import SagaState
from .app import App


class Want(NamedTuple):
    """When a saga wants a worker; `due_at` None: not before something is written to it."""

    due_at: datetime | None
    awaits: Collection[str] = ()
    """The sub-sagas whose end it waits for."""


def want_of(app: App, state: SagaState, now: datetime, is_unfinished: Callable[[str], bool]) -> Want:
    """Return when a saga wants a worker that has this app.

    It wants none if it has ended, needs a person, or has a definition that the app does not know. A sub-saga that it
    awaits and that is not unfinished will never wake it: it did not begin, or it has ended.
    """
    definition = app.find_definition(state.definition, state.definition_version)
    if definition is None or state.end or state.interventions:
        return Want(None)
    following = advance(definition, state, now)
    awaited = tuple(awaited_sagas(state))
    awaits_the_gone = not all(map(is_unfinished, awaited))
    if state.in_flight or following.events or following.decision.attempts or awaits_the_gone:
        return Want(now, awaited)
    return Want(following.decision.wake_at, awaited)
