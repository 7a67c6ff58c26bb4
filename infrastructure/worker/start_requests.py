"""Requests of other people's transactions, turned into starts, and settled by what came of them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from ...domain.recorded_event import Meta
from ..errors import DefinitionChanged
from ..event_store.start_requests import StartRequest, StartRequestOutcome
from ..event_store.work_queue import FencingToken
from ..ledger.context import LedgerContext
from ..ledger.saga_start import SagaStart
from .messages import StartSaga

REQUESTS_OPEN_MAX = 500
"""How many requests a worker takes before those that it has taken are answered; others may take the rest."""


class StartRequestHandler:
    """Takes requests, and answers them once their sagas are there or cannot be started."""

    def __init__(self, context: LedgerContext) -> None:
        self._context = context
        self._requests = context.backend.start_requests
        self._definitions = [(d.name, d.version) for d in context.app.definitions]
        self._answers: list[StartRequestOutcome] = []
        self._open = 0

    def take(self, epoch: FencingToken, room: int) -> Sequence[StartSaga]:
        """Sagas to be started because somebody asked for them, as many as there is room for. Raises `Unavailable`."""
        limit = min(room, REQUESTS_OPEN_MAX - self._open)
        if self._requests is None or limit <= 0:
            return ()
        starts: list[StartSaga] = []
        for request in self._requests.take(epoch, definitions=self._definitions, limit=limit):
            self._open += 1
            try:
                starts.append(self._start(request))
            except DefinitionChanged as error:
                self.answer(request.request_id, str(error))
        return starts

    def answer(self, request_id: int, refusal: str | None) -> None:
        """What became of a request: its saga is there, or the reason why it is not."""
        self._open -= 1
        self._answers.append(StartRequestOutcome(request_id, refusal))

    def ask_again(self, epoch: FencingToken) -> None:
        """After the database was away: it may have given requests that never came. Raises `Unavailable`."""
        if self._requests is not None:
            self._requests.release(epoch)

    def settle(self) -> None:
        """Write the answers there are. Raises `Unavailable`, and then they are kept."""
        if self._answers and self._requests is not None:
            self._requests.settle(self._answers)
            self._answers.clear()

    def _start(self, request: StartRequest) -> StartSaga:
        definition = self._context.app.definition(request.definition, request.definition_version)
        if request.fingerprint != definition.fingerprint:
            raise DefinitionChanged(definition.name, definition.version, request.fingerprint, definition.fingerprint)
        self._context.definition_versions.pin_fingerprint(definition)
        saga_start = SagaStart(request.saga_id, definition, Raw(request.input), request.begins_at)
        return StartSaga(saga_start, Meta(actor=request.actor), None, request.request_id)
