"""The API within other programs, under a prefix, and behind a proxy that strips it: its links lead back to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

import sagaledger
from sagaledger import Ledger
from sagaledger.infrastructure.api.application import Api
from sagaledger.infrastructure.api.server import BasePath

from .app import note


def in_starlette(api: Api) -> ASGIApp:
    """Mounted in a Starlette program."""
    return Starlette(routes=[Mount("/ledger", app=api)])


def in_fastapi(api: Api) -> ASGIApp:
    """Mounted in a FastAPI program."""
    app = FastAPI()
    app.mount("/ledger", api)
    return app


def behind_a_proxy(api: Api) -> ASGIApp:
    """Served with `--base-path`, behind a proxy that leaves the path as it is."""
    return BasePath(api, "/ledger")


def behind_a_stripping_proxy(api: Api) -> ASGIApp:
    """The same, behind a proxy that strips the path."""
    served = BasePath(api, "/ledger")

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        strip = len("/ledger")
        path, raw = scope["path"][strip:], scope["raw_path"][strip:]
        await served({**scope, "path": path, "raw_path": raw}, receive, send)

    return proxy


@pytest.mark.parametrize("place", [in_starlette, in_fastapi, behind_a_proxy, behind_a_stripping_proxy])
def test_links_lead_back_through_what_stands_before_the_api(sqlite_url: str, place: Callable[[Api], ASGIApp]) -> None:
    """Also those with a `/` in an id; and no lifespan event is needed."""
    with Ledger.open(sqlite_url) as ledger:
        ledger_with_notes = Ledger(ledger.backend, sagaledger.App(sagas=[note]))
        api = sagaledger.asgi(ledger_with_notes)

        async def scene() -> None:
            transport = httpx.ASGITransport(place(api), client=("127.0.0.1", 1))
            async with api.running(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                for number in range(2):
                    started = await client.post(
                        "/ledger/api/v1/sagas",
                        json={"definition": "note", "input": "x", "key": f"a/{number}"},
                        headers={"Idempotency-Key": str(number)},
                    )
                saga = await client.get(started.headers["location"])
                page = await client.get("/ledger/api/v1/log?limit=1")
                following = await client.get(page.links["next"]["url"])
                document = await client.get("/ledger/api/v1/openapi.json")
                alive = await client.get("/ledger/livez")

                assert started.headers["location"] == "/ledger/api/v1/sagas/note-a%2F1"
                assert saga.json()["saga_id"] == "note-a/1"
                assert following.json()["events"][0]["position"] == 2
                assert document.json()["servers"] == [{"url": "/ledger/api/v1"}]
                assert alive.status_code == 200

        asyncio.run(scene())


def test_a_program_adds_middleware_and_pages(sqlite_url: str) -> None:
    """The middleware learns the declared path, which names no saga."""
    routes: list[object] = []

    def observe(app: ASGIApp) -> ASGIApp:
        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)
            routes.append(scope.get("sagaledger.route"))

        return observed

    async def metrics(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"sagas_open 1"})

    with Ledger.open(sqlite_url) as ledger:
        api = sagaledger.asgi(ledger, middleware=[observe], pages={"metrics": metrics}, checks=[lambda: "no coffee"])

        async def scene() -> None:
            transport = httpx.ASGITransport(api, client=("127.0.0.1", 1))
            async with api.running(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                assert (await client.get("/metrics")).text == "sagas_open 1"
                await client.get("/api/v1/sagas/note-1")
                await client.get("/nothing")
                ready = await client.get("/readyz")
                assert (ready.status_code, ready.json()["problems"]) == (503, ["no coffee"])

        asyncio.run(scene())

    assert routes == ["/metrics", "/sagas/{saga_id}", None, "/readyz"]
