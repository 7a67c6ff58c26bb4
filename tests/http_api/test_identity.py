"""Who may ask: each role at each endpoint, and without tokens the programs of this machine alone."""

from __future__ import annotations

import pytest

from sagaledger import Ledger, Principal, Role
from sagaledger.infrastructure.api.asgi import asgi
from sagaledger.infrastructure.api.endpoints import ENDPOINTS

from .client import Client

MAY = {
    Role.VIEWER: {Role.VIEWER},
    Role.AUDITOR: {Role.VIEWER, Role.AUDITOR},
    Role.OPERATOR: {Role.VIEWER, Role.OPERATOR},
    Role.ADMIN: {Role.VIEWER, Role.AUDITOR, Role.OPERATOR, Role.ADMIN},
}


@pytest.mark.parametrize("role", Role)
def test_each_endpoint_is_for_its_role(sqlite_url: str, role: Role) -> None:
    """It refuses every other one before it reads what the request carries; what has no role is for anyone."""
    with (
        Ledger.open(sqlite_url) as ledger,
        Client(asgi(ledger, authenticate=lambda _: Principal("ann", role))) as client,
    ):
        for endpoint in ENDPOINTS:
            response = client.ask(endpoint.method, endpoint.path.replace("{", "").replace("}", "") + "?unknown=1")

            is_refused = response.status_code == 403
            assert is_refused == (endpoint.role is not None and endpoint.role not in MAY[role]), endpoint.path


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {"Host": "[::1]:8420"}, 200),
        ("127.0.0.1", {"Host": "localhost:8420", "Origin": "http://localhost:8420"}, 200),
        ("127.0.0.1", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("10.1.2.3", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 401),
        ("127.0.0.1", {"Host": "attacker.example"}, 401),
        ("127.0.0.1", {"Host": "127.0.0.1.attacker.example"}, 401),
        ("127.0.0.1", {"Origin": "https://attacker.example"}, 403),
        ("127.0.0.1", {"Origin": "null"}, 403),
        ("127.0.0.1", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_without_tokens_this_machine_alone_is_served(
    sqlite_url: str, address: str, headers: dict[str, str], status: int
) -> None:
    """Neither another machine, nor a proxy, nor a page of another site that a browser shows."""
    with Ledger.open(sqlite_url) as ledger, Client(asgi(ledger), address=(address, 1)) as client:
        response = client.ask("GET", "/me", headers=headers)

    assert response.status_code == status
    if status == 200:
        assert response.json()["role"] == "admin"
