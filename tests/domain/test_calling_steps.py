"""A declared step is called like its action, so that a test of it needs no ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sagaledger import DefinitionError, Direction, Saga, StepContext, rehearse
from sagaledger.domain.participant import Command

booking = Saga("booking", input=int)


class Reserve(Command, frozen=True):
    """Reserve rooms."""

    rooms: int


@booking.step()
async def pay(amount: int, ctx: StepContext) -> str:
    """Async."""
    return f"{amount} under {ctx.key}"


@pay.compensation
def refund(amount: int, receipt: str | None, ctx: StepContext) -> str:
    """Undo it."""
    return f"{amount} of {receipt} by {ctx.direction}"


@booking.step(compensable=False)
def confirm(amount: int, ctx: StepContext) -> tuple[int, str | None, object]:
    """Look at earlier steps."""
    return amount, ctx.result(pay), ctx.result("reserve")


@booking.local_step(compensable=False)
def reserve(rooms: int, _: StepContext) -> Sequence[Command]:
    """Return commands."""
    return [Reserve(rooms)]


def test_a_step_is_called_like_its_action() -> None:
    """A coroutine is left to the caller to await."""
    ctx = StepContext.for_test(pay, key="k-1")

    assert asyncio.run(pay(7, ctx)) == "7 under k-1"
    assert reserve(2, ctx) == [Reserve(2)]
    assert refund(7, "r-1", StepContext.for_test(pay, direction=Direction.COMPENSATION)) == "7 of r-1 by compensation"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, (7, None, None)),
        ({pay: "r-1"}, (7, "r-1", None)),
        ({"pay": "r-1", reserve: 2}, (7, "r-1", 2)),
    ],
)
def test_a_context_for_a_test_has_the_results_that_it_is_given(given: dict[object, object], seen: object) -> None:
    """Each by its step or by that step's name; the others have none."""
    assert confirm(7, StepContext.for_test(confirm, results=given)) == seen


def test_a_step_may_be_the_action_of_another_saga() -> None:
    """It is the same function, with the name and the result's type that it declares."""
    again = Saga("again", input=int)
    step = again.step(compensable=False)(pay)

    assert step is not pay
    assert (step.name, again.definition.step("pay").action) == ("pay", pay.action)
    assert bytes(rehearse(again, 7).state.result or b"").startswith(b'"7 under ')


def test_a_step_is_no_compensation() -> None:
    """It takes no result."""
    saga = Saga("wrong", input=int)

    with pytest.raises(DefinitionError, match="must take 3 arguments"):
        saga.step()(pay.action).compensation(confirm)
