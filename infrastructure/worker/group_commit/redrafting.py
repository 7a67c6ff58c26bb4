"""Withdrawing transitions that are drafted and not sent, so that they are decided again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...ledger.stream_cache import StreamCache
from ..held_sagas import HeldSagas
from .pipeline import Pipeline
from .transition import Transition


class Redrafting:
    """Withdraws drafts whose premises changed: their sagas are ready again, their streams are read again."""

    def __init__(self, pipeline: Pipeline, stream_cache: StreamCache, held: HeldSagas) -> None:
        self._pipeline = pipeline
        self._stream_cache = stream_cache
        self._held = held

    def withdraw(self, saga_ids: Iterable[str]) -> None:
        """Withdraw what is drafted of these sagas: more is known of them now."""
        withdrawn = self._pipeline.drafted.of(saga_ids)
        if withdrawn:
            self.withdraw_with(withdrawn)

    def withdraw_all(self) -> None:
        """Withdraw everything that is drafted and not sent."""
        self.withdraw_with(list(self._pipeline.drafted))

    def withdraw_with(self, unwritten: Sequence[Transition]) -> None:
        """Withdraw these transitions, and all that rest on what they would have written."""
        for transition in self._pipeline.drafted.withdraw(unwritten):
            self._stream_cache.evict(transition.draft.overlay)
            self._held.wake(transition.saga.saga_id)
