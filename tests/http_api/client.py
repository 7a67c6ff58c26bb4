"""A client of the API in the same process, for tests that are plain functions."""

from __future__ import annotations

import asyncio
import uuid
from types import TracebackType
from typing import Any, Self

import httpx

from sagaledger.infrastructure.api.application import Api

HERE = ("127.0.0.1", 50_000)


class Client:
    """Asks an API; use it as a context manager."""

    def __init__(self, api: Api, *, address: tuple[str, int] = HERE, base: str = "http://localhost/api/v1") -> None:
        self.api = api
        self._runner = asyncio.Runner()
        self._address = address
        self._base = base

    def __enter__(self) -> Self:
        self._runner.run(self._begin())
        return self

    async def _begin(self) -> None:
        self._running = self.api.running()
        await self._running.__aenter__()
        transport = httpx.ASGITransport(self.api, client=self._address)
        self._client = httpx.AsyncClient(transport=transport, base_url=self._base)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._end())
        self._runner.close()

    async def _end(self) -> None:
        await self._client.aclose()
        await self._running.__aexit__(None, None, None)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Make a request."""
        return self._runner.run(self._client.request(method, path, **more))

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Read something."""
        return self.ask("GET", path, params=query)

    def json(self, path: str, **query: Any) -> Any:
        """Read something that is there."""
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        """Write something; under a key of its own unless one is given."""
        named = {"Idempotency-Key": key or str(uuid.uuid4()), **{n.replace("_", "-"): v for n, v in headers.items()}}
        return self.ask("POST", path, json=body, headers=named)

    def together(self, *asked: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """Make requests at the same time."""

        async def all_() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.request(m, p, **more) for m, p, more in asked))

        return self._runner.run(all_())
