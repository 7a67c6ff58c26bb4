"""Telemetry of the API: requests by their routes, and sagas in the trace of the request that started them."""

from __future__ import annotations

from sagaledger import Ledger
from sagaledger.infrastructure.api.asgi import asgi
from sagaledger.infrastructure.telemetry.telemetry import Telemetry

from .app import APP
from .client import Client

TRACE = "0af7651916cd43dd8448eb211c80319c"
NOTE = {"definition": "note", "input": "hello"}


def test_requests_are_counted_by_route_and_sagas_once(sqlite_url: str) -> None:
    """A repeat is a request, and no further saga; the saga belongs to the trace of its request."""
    telemetry = Telemetry()
    with Ledger.open(sqlite_url, APP, observer=telemetry) as ledger:
        telemetry.watch(ledger)
        with Client(asgi(ledger, telemetry=telemetry)) as client:
            for _ in range(2):
                started = client.post("/sagas", NOTE, key="1", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
                client.post("/sagas/batch", {"starts": [NOTE, NOTE]}, key="2")
                client.post(f"/sagas/{started.json()['saga_id']}/cancel", {"reason": "r"}, key="3")
            client.get("/sagas/nothing")
            text = client.ask("GET", "http://localhost/metrics").text
        [first] = ledger.backend.stream(started.json()["saga_id"], upto=1)
    telemetry.close()

    lines = text.splitlines()
    assert 'sagaledger_sagas_started_total{definition="note"} 3.0' in lines
    assert 'sagaledger_http_request_seconds_count{method="POST",route="/sagas",status="201"} 2.0' in lines
    assert 'sagaledger_http_request_seconds_count{method="GET",route="/sagas/{saga_id}",status="404"} 1.0' in lines
    assert TRACE in first.meta


def test_a_server_without_telemetry_has_no_metrics(sqlite_url: str) -> None:
    """And says so."""
    with Ledger.open(sqlite_url, APP) as ledger, Client(asgi(ledger)) as client:
        assert client.get("/metrics").status_code == 404
