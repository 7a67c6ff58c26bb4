"""A saga whose steps call another company's service over HTTP, with their idempotency keys.

Start the service, then the worker, then a saga:

    python examples/http_service/service.py --port 8099 --db courier.sqlite
    sagaledger worker --app examples/http_service/saga.py:APP
    sagaledger start send_parcel --app examples/http_service/saga.py:APP --input '{"parcel_id": "P-1", "grams": 900}'

A call may be lost, answered late, or answered with an error although it was carried out. So a step reports only what it
knows. A refusal is `StepRejected`, which proves that nothing happened. Any other error is raised as it is: the step is
tried again with the same key, and compensated if it never succeeds.
"""

from __future__ import annotations

import os
from http.client import HTTPConnection
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from sagaledger import App, Retry, Saga, StepContext, StepRejected

URL = os.environ.get("COURIER_URL", "127.0.0.1:8099")
"""The host and port of the courier."""
ANSWER_SECONDS_MAX = float(os.environ.get("COURIER_ANSWER_SECONDS_MAX", "2"))
"""How long one call may take. The step's own timeout is longer, so that the call ends first and frees its thread."""
ANSWER_BYTES_MAX = 64 * 1024

PATIENT = Retry(attempts=10, backoff_seconds=0.05, backoff_seconds_max=1.0)
STUBBORN = Retry(attempts=30, backoff_seconds=0.05, backoff_seconds_max=1.0)
"""For compensations: they are tried for longer than actions, because giving up needs a person."""


class CourierUnavailable(Exception):
    """The courier did not answer as agreed: it is unknown whether it carried out the request."""


class Parcel(Struct, frozen=True):
    """A parcel to send."""

    parcel_id: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}$")]
    grams: Annotated[int, Meta(ge=1)]


class Insurance(Struct, frozen=True):
    """The courier's confirmation that the parcel is insured."""

    policy: str


class Booking(Struct, frozen=True):
    """The courier's confirmation that it will fetch the parcel."""

    tracking_number: str


T = TypeVar("T")

send_parcel = Saga("send_parcel", version=1, input=Parcel, key=lambda parcel: parcel.parcel_id)


@send_parcel.step(retry=PATIENT, timeout=2 * ANSWER_SECONDS_MAX)
def insure_parcel(parcel: Parcel, ctx: StepContext) -> Insurance:
    """Insure the parcel before it is fetched."""
    return call("PUT", f"/insurances/{parcel.parcel_id}", parcel, ctx, Insurance)


@insure_parcel.compensation(retry=STUBBORN)
def end_insurance(parcel: Parcel, _insurance: Insurance | None, ctx: StepContext) -> None:
    """End the insurance. If the request for it is still under way, the courier refuses it from now on."""
    call("DELETE", f"/insurances/{parcel.parcel_id}", parcel, ctx, dict[str, bool])


@send_parcel.step(retry=PATIENT, timeout=2 * ANSWER_SECONDS_MAX)
def book_courier(parcel: Parcel, ctx: StepContext) -> Booking:
    """Book the courier, who refuses a parcel that is too heavy."""
    return call("PUT", f"/bookings/{parcel.parcel_id}", parcel, ctx, Booking)


@book_courier.compensation(retry=STUBBORN)
def cancel_courier(parcel: Parcel, _booking: Booking | None, ctx: StepContext) -> None:
    """Cancel the booking, whether or not it was ever confirmed."""
    call("DELETE", f"/bookings/{parcel.parcel_id}", parcel, ctx, dict[str, bool])


def call(method: str, path: str, parcel: Parcel, ctx: StepContext, answer: type[T]) -> T:
    """Send a request under the step's idempotency key: the courier carries it out at most once, however often it comes.

    Each call has a connection of its own, so that a late answer to an earlier call is never taken for the answer to
    this one. Raises `StepRejected` if the courier refuses, `CourierUnavailable` or `OSError` if the outcome is unknown.
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
