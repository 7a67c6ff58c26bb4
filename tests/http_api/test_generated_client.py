"""A client that a generator makes of the OpenAPI document: with it, a saga is started, approved and awaited."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from sagaledger import Ledger, WorkerThread
from sagaledger.infrastructure.api.application import DOCUMENT
from sagaledger.infrastructure.api.asgi import asgi

from .app import APP


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the package that was generated."""
    document = tmp_path / "openapi.json"
    document.write_bytes(DOCUMENT.json("/api/v1"))
    settings = ConfigFile(project_name_override="ledger_client", package_name_override="ledger_client", post_hooks=[])
    config = Config.from_sources(settings, MetaType.NONE, document, "utf-8", True, tmp_path / "ledger_client")
    problems = generate(config=config)
    assert [str(problem) for problem in problems] == []
    monkeypatch.syspath_prepend(str(tmp_path))
    yield_name = "ledger_client"
    for name in [name for name in sys.modules if name.partition(".")[0] == yield_name]:
        monkeypatch.delitem(sys.modules, name)
    return yield_name


def test_a_saga_runs_through_a_generated_client(sqlite_url: str, generated: str) -> None:
    """Its answers are typed, and so are its problems."""
    models: Any = import_module(f"{generated}.models")

    async def ask(client: Any, endpoint: str, *words: str, **more: Any) -> Any:
        module: Any = import_module(f"{generated}.api.{endpoint}")
        return (await module.asyncio_detailed(*words, client=client, **more)).parsed

    async def scene(ledger: Ledger) -> None:
        api = asgi(ledger)
        transport = httpx.ASGITransport(api, client=("127.0.0.1", 1))
        kind: Any = import_module(generated).Client
        async with api.running(), kind("http://localhost/api/v1", httpx_args={"transport": transport}) as client:
            body = models.StartBody(definition="payout", input_={"number": "P1"})
            started = await ask(client, "sagas.post_sagas", body=body, idempotency_key="1")
            approval = models.ApprovalBody(reason="it is right", payload="bob")
            approved = await ask(
                client,
                "sagas.post_sagas_steps_approve",
                started.saga_id,
                "approval",
                body=approval,
                idempotency_key="2",
            )
            with WorkerThread(ledger):
                done = await ask(client, "sagas.get_sagas_wait", started.saga_id, timeout=20.0)
            page = await ask(client, "sagas.get_sagas", wait_for=approved.position, limit=10)
            missing = await ask(client, "sagas.get_sagas_one", "nothing")

            assert (started.saga_id, started.created) == ("payout-P1", True)
            assert (done.status, done.result) == ("completed", "paid P1, as bob said")
            assert [saga.saga_id for saga in page.sagas] == ["payout-P1"]
            assert isinstance(missing, models.ProblemDocument)
            assert missing.type_ == "urn:sagaledger:problem:saga-not-found"

    with Ledger.open(sqlite_url, APP) as ledger:
        asyncio.run(scene(ledger))
