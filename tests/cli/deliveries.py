"""An app whose sagas take and return models of pydantic's."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field, field_validator

from sagaledger import App, Retry, Saga, StepContext


class Address(BaseModel):
    """Where to."""

    city: str = Field(alias="City")


class Delivery(BaseModel):
    """What is to be delivered."""

    number: str = Field(alias="deliveryNumber")
    to: list[Address] = Field(alias="addresses")
    on: date = date(2020, 1, 1)

    @field_validator("to")
    @classmethod
    def _must_go_somewhere(cls, value: list[Address]) -> list[Address]:
        if not value:
            raise ValueError("must go somewhere")
        return value


class Slip(BaseModel):
    """The carrier's answer."""

    code: str
    stops: dict[str, Address]


deliver = Saga("deliver", input=Delivery, key=lambda delivery: delivery.number)


@deliver.step(retry=Retry(attempts=1))
def book_carrier(delivery: Delivery, _ctx: StepContext) -> Slip:
    return Slip(code=f"c-{delivery.number}", stops={address.city: address for address in delivery.to})


@book_carrier.compensation
def cancel_carrier(delivery: Delivery, slip: Slip | None, _ctx: StepContext) -> str:
    assert slip is not None
    assert slip.stops == {address.city: address for address in delivery.to}
    return slip.code


@deliver.step(retry=Retry(attempts=1), compensable=False)
def print_label(delivery: Delivery, ctx: StepContext) -> Address:
    slip = ctx.result(book_carrier)
    assert slip is not None
    if delivery.number == "wrong":
        return slip  # type: ignore[return-value]
    return slip.stops["Rome"]


APP = App(sagas=[deliver])
