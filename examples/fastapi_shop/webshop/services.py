"""The client of the services for payments and parcels, which belong to other companies."""

from __future__ import annotations

import os
from typing import Any

import httpx

from sagaledger import StepRejected

ANSWER_SECONDS_MAX = 10.0
"""Less than the timeout of a step, so that the call ends first."""


class Services:
    """Calls the services under a step's idempotency key, and tells a refusal from everything else."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def call(self, method: str, path: str, key: str, body: dict[str, Any] | None = None) -> str:
        """Return the reference that the service answers with.

        Raises `StepRejected` if the service refuses, which proves that it did nothing. After any other error it may
        have done what was asked: the ledger tries again under the same key, and compensates if that never succeeds.
        """
        async with httpx.AsyncClient(base_url=self.url, timeout=ANSWER_SECONDS_MAX) as client:
            answer = await client.request(method, path, json=body or {}, headers={"Idempotency-Key": key})
        if answer.status_code == 422:
            raise StepRejected(answer.text)
        answer.raise_for_status()
        reference: str = answer.json()["reference"]
        return reference


services = Services(os.environ.get("SHOP_SERVICES", "http://127.0.0.1:8099"))
