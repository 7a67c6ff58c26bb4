"""A saga whose steps call another company's service over HTTP, with their idempotency keys.

Start the service, then the worker, then a saga:

    python examples/http_service/service.py --port 8099 --db courier.sqlite
    sagaledger worker --app examples/http_service/saga.py:APP
    sagaledger start send_parcel --app examples/http_service/saga.py:APP --input '{"parcel_id": "P-1", "grams": 900}'

A call may be lost, answered late, or answered by an error although it was carried out. So a step says only what it
knows: a refusal is `StepRejected`, which proves that nothing happened; anything else is raised as it is, tried again
with the same key, and undone if it never succeeds.
"""

from __future__ import annotations

import os
from http.client import HTTPConnection
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from sagaledger import App, Retry, Saga, StepContext, StepRejected

URL = os.environ.get("COURIER_URL", "127.0.0.1:8099")
"""Where the courier is: host and port."""
ANSWER_SECONDS_MAX = float(os.environ.get("COURIER_ANSWER_SECONDS_MAX", "2"))
"""How long one call may take. The step's own timeout is longer, so that the call ends first and frees its thread."""
ANSWER_BYTES_MAX = 64 * 1024

PATIENT = Retry(attempts=10, backoff_seconds=0.05, backoff_seconds_max=1.0)
STUBBORN = Retry(attempts=30, backoff_seconds=0.05, backoff_seconds_max=1.0)
"""What must be undone is tried for longer than what may be left undone."""


class CourierUnavailable(Exception):
    """The courier did not answer as agreed: whether it did what it was asked is not known."""


class Parcel(Struct, frozen=True):
    """What is to be sent."""

    parcel_id: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}$")]
    grams: Annotated[int, Meta(ge=1)]


class Insurance(Struct, frozen=True):
    """The courier's word that the parcel is insured."""

    policy: str


class Booking(Struct, frozen=True):
    """The courier's word that it will fetch the parcel."""

    tracking_number: str


T = TypeVar("T")

send_parcel = Saga("send_parcel", version=1, input=Parcel, key=lambda parcel: parcel.parcel_id)


@send_parcel.step(retry=PATIENT, timeout=2 * ANSWER_SECONDS_MAX)
def insure_parcel(parcel: Parcel, ctx: StepContext) -> Insurance:
    """Insure it, before anybody touches it."""
    return call("PUT", f"/insurances/{parcel.parcel_id}", parcel, ctx, Insurance)


@insure_parcel.compensation(retry=STUBBORN)
def end_insurance(parcel: Parcel, _insurance: Insurance | None, ctx: StepContext) -> None:
    """End the insurance; should the request for it still be under way, it comes too late from now on."""
    call("DELETE", f"/insurances/{parcel.parcel_id}", parcel, ctx, dict[str, bool])


@send_parcel.step(retry=PATIENT, timeout=2 * ANSWER_SECONDS_MAX)
def book_courier(parcel: Parcel, ctx: StepContext) -> Booking:
    """Have it fetched; the courier refuses what is too heavy."""
    return call("PUT", f"/bookings/{parcel.parcel_id}", parcel, ctx, Booking)


@book_courier.compensation(retry=STUBBORN)
def cancel_courier(parcel: Parcel, _booking: Booking | None, ctx: StepContext) -> None:
    """Call it off, whether or not the booking was ever confirmed."""
    call("DELETE", f"/bookings/{parcel.parcel_id}", parcel, ctx, dict[str, bool])


def call(method: str, path: str, parcel: Parcel, ctx: StepContext, answer: type[T]) -> T:
    """One request under the step's idempotency key: carried out at most once, however often it is sent.

    Every call has a connection of its own, so that a second answer to an earlier one is never taken for this one's.
    Raises `StepRejected` when the courier refuses, `CourierUnavailable` or `OSError` for whatever proves nothing.
    """
    connection = HTTPConnection(URL, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request(method, path, msgspec.json.encode(parcel), {"Idempotency-Key": ctx.key})
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()
    if response.status == 422:
        raise StepRejected(body.decode(errors="replace"))
    if response.status not in (200, 201):
        raise CourierUnavailable(f"{method} {path}: status {response.status}")
    return msgspec.json.decode(body, type=answer)


APP = App(sagas=[send_parcel])
