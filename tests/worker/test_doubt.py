"""What a worker believes when answers are lost: it asks again what it holds, and believes the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, sleep

from sagaledger.domain.commerce import Order, OrderLine
from sagaledger.domain.recorded import Meta
from sagaledger.domain.state import Status
from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.opening import Opening
from sagaledger.infrastructure.reference import APP
from sagaledger.infrastructure.worker.engine import Engine
from sagaledger.infrastructure.worker.message import Start

from .conftest import OpenLedger
from .test_worker import Flaky

PATIENCE_SECONDS = 10.0
ORDER = Order("1", datetime(2030, 1, 1, tzinfo=UTC), (OrderLine("lamp", 1, 100),))


def test_a_saga_claimed_unheard_while_its_own_start_waits_is_not_lost(open_ledger: OpenLedger) -> None:
    """Somebody else started it meanwhile, and the answer to the claim was lost: its holder finds that it holds it."""
    ledger, elsewhere = open_ledger(APP), open_ledger(APP)
    flaky = Flaky(ledger.backend)
    ledger.backend = flaky  # type: ignore[assignment]  # it stands before the real one
    engine = Engine(ledger, concurrency=10, lease_seconds=60.0)
    flaky.trouble = _fail_once("streams")
    opening = Opening.of(APP.definition("fulfil_order"), ORDER, None)
    engine.turn([Start(opening, Meta(), None)])  # it is about to be started, and what it needs cannot be read
    elsewhere.start("fulfil_order", ORDER)
    flaky.aftermath = _fail_once("claim")

    until = monotonic() + PATIENCE_SECONDS
    while elsewhere.state(opening.saga_id).end is None and monotonic() < until:
        sleep(engine.seconds_to_wait())
        engine.turn([])

    assert elsewhere.state(opening.saga_id).status is Status.COMPENSATED  # there was no stock
    assert elsewhere.backend.due() == []
    engine.finish()


def _fail_once(name: str) -> Callable[[str], None]:
    failed: list[str] = []

    def fail(called: str) -> None:
        if called == name and not failed:
            failed.append(called)
            raise Unavailable("away")

    return fail
