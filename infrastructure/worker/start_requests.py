"""Start requests: sagas that other programs asked for in database transactions of their own."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from ...domain.errors import InvalidInput
from ...domain.recorded_event import Meta
from ...domain.saga.definition import Definition
from ...domain.saga.outcome import failure_of
from ...domain.user_code import is_interruption
from ..errors import DefinitionChanged
from ..event_store.start_requests import UNBOUNDED, StartRequest, StartRequestOutcome
from ..event_store.work_queue import FencingToken
from ..ledger.context import LedgerContext
from ..ledger.saga_start import SagaStart
from .messages import StartSaga

REQUESTS_OPEN_MAX = 500
"""The most requests that a worker has taken and not answered; other workers may take the rest."""


class StartRequestHandler:
    """Turns requests into starts, and answers them once their sagas exist or cannot be started."""

    def __init__(self, context: LedgerContext) -> None:
        self._context = context
        self._requests = context.backend.start_requests
        self._definitions = [(d.name, d.version) for d in context.app.definitions]
        self._outcomes: list[StartRequestOutcome] = []
        self._open = 0

    def take(self, token: FencingToken, room: int) -> Sequence[StartSaga]:
        """Take requests, at most `room`, and return the starts that fulfil them. Raises `Unavailable`."""
        limit = min(room, REQUESTS_OPEN_MAX - self._open)
        if self._requests is None or limit <= 0:
            return ()
        starts: list[StartSaga] = []
        for request in self._requests.take(token, definitions=self._definitions, limit=limit):
            self._open += 1
            definition = self._context.app.definition(request.definition, request.definition_version)
            try:
                start = self._start(request, definition)
            except BaseException as error:
                if is_interruption(error):
                    raise
                self.answer(request.request_id, error)
                continue
            self._context.definition_versions.pin_fingerprint(definition)
            starts.append(start)
        return starts

    def answer(self, request_id: int, error: BaseException | None) -> None:
        """Note what became of a request: its saga exists, or the error because of which it does not."""
        self._open -= 1
        refusal = None if error is None else failure_of(error).error.message  # a text that every database stores
        self._outcomes.append(StartRequestOutcome(request_id, refusal))

    def release(self, token: FencingToken) -> None:
        """Release the requests that this worker has taken, after the database was away: it may not have received them.

        Raises `Unavailable`.
        """
        if self._requests is not None:
            self._requests.release(token)

    def settle(self) -> None:
        """Write the outcomes that were noted. Raises `Unavailable`, and then keeps them."""
        if self._outcomes and self._requests is not None:
            self._requests.settle(self._outcomes)
            self._outcomes.clear()

    def _start(self, request: StartRequest, definition: Definition) -> StartSaga:
        """Return the start that a request asks for, checked as if its writer had called `start`: rows can be forged."""
        if not self._context.definition_versions.accepts(definition, request.fingerprint):
            raise DefinitionChanged(definition.name, definition.version, request.fingerprint, definition.fingerprint)
        if request.begins_at in UNBOUNDED:
            raise InvalidInput("it begins at a time that no calendar has: use one between the years 1 and 9999")
        prefix = definition.saga_id("")
        key = request.saga_id.removeprefix(prefix)
        raw = Raw(request.input)
        saga_start = SagaStart.of(definition, raw, key, begins_at=request.begins_at, actor=request.actor)
        if saga_start.saga_id != request.saga_id:
            raise InvalidInput(
                f"the id {request.saga_id!r} is none of a saga {definition.name!r}: they begin with {prefix!r}"
            )
        return StartSaga(saga_start, Meta(actor=request.actor), None, request.request_id)
