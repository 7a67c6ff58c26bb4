"""A type is stored with all that its values have, or refused where it is declared: no attempt learns it too late."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Any, Literal

import pydantic
import pytest
from msgspec import Raw
from pydantic import BaseModel, Field

from sagaledger import DefinitionError, Direction, InvalidInput, NotSerialisable, Saga, Status, StepContext, rehearse
from sagaledger.domain.saga.payload import write_payload
from sagaledger.domain.saga.read_back import same_parts
from sagaledger.domain.saga.stored_type import decoder_of

from .kinds_of_types import (
    GIVEN,
    MISFITS,
    NOT_GIVEN,
    REFUSED,
    STORED,
    Cat,
    Dog,
    Inner,
    Order,
    order,
)


def step_with(result: Any) -> Any:
    """The sealed step whose action declares this result."""

    def act(_: int, __: Any) -> Any:
        return None

    act.__annotations__["return"] = result
    saga = Saga("trip", input=int)
    saga.step(name="book", compensable=False)(act)
    return saga.definition.step("book")


def definition_with(input_type: Any) -> Any:
    """The sealed definition of a saga with this input."""
    saga: Saga[Any] = Saga("trip", input=input_type)
    saga.step(name="book", compensable=False)(lambda *_: None)
    return saga.definition


def name_of(case: Any) -> str:
    """The name of a case, whose type alone says what it is."""
    return getattr(case, "__name__", str(case))[:40]


@pytest.mark.parametrize(("declared", "value"), STORED, ids=name_of)
def test_a_value_is_read_back_as_it_was(declared: Any, value: Any) -> None:
    """As a result, an input and a payload: of the same type, with the same fields."""
    step, definition, payload = step_with(declared), definition_with(declared), decoder_of(declared, "the payload")

    for read in (
        step.read_result(step.write_result(Direction.FORWARD, value)),
        definition.read_input(definition.write_input(value)),
        payload.decode(payload.write("the payload", value)),
    ):
        assert same_parts(read, value), f"{read!r} is not {value!r}"


@pytest.mark.parametrize(("declared", "says"), REFUSED, ids=name_of)
def test_a_type_that_cannot_be_stored_is_refused_where_it_is_declared(declared: Any, says: str) -> None:
    """With an error that names the step or the input, the type, and what to change."""
    with pytest.raises(DefinitionError, match=f"the result of step 'book' (has|is) .*{says}"):
        step_with(declared)
    if "variables" not in says:
        with pytest.raises(DefinitionError, match=f"the input of saga 'trip' version 1 has .*{says}"):
            definition_with(declared)


@pytest.mark.parametrize(("declared", "value", "says"), MISFITS, ids=name_of)
def test_a_result_that_does_not_fit_fails_its_own_attempt(declared: Any, value: Any, says: str) -> None:
    """It is never recorded, so no later step and no compensation meets it."""
    with pytest.raises(NotSerialisable, match=f"the result of step 'book' is a .*{says}") as raised:
        step_with(declared).write_result(Direction.FORWARD, value)
    assert len(str(raised.value).splitlines()) == 1


def test_the_attempt_that_fails_says_why() -> None:
    """Its error is that of the step, and the steps before are undone."""
    saga = Saga("trip", input=int)

    @saga.step()
    def pay(amount: int, _: StepContext) -> Inner:
        return Inner(Count=amount)

    @pay.compensation
    def refund(_: int, paid: Inner | None, __: StepContext) -> None:
        seen.append(paid)

    @saga.step(compensable=False)
    def confirm(amount: int, _: StepContext) -> str:
        return amount  # type: ignore[return-value]

    seen: list[Inner | None] = []
    rehearsal = rehearse(saga, 3)

    assert rehearsal.state.status is Status.COMPENSATED
    assert seen == [Inner(Count=3)]
    assert rehearsal.state.cause == "step confirm failed (NotSerialisable)"


def test_the_items_of_a_list_may_be_models() -> None:
    """Each is read as the type that the action takes."""
    saga = Saga("trip", input=int)

    @saga.for_each(items=lambda number, _: [Inner(Count=each) for each in range(number)], compensable=False)
    def double(item: Inner, _: StepContext) -> Inner:
        return Inner(Count=2 * item.count)

    @saga.step(compensable=False)
    def look(_: int, ctx: StepContext) -> bool:
        return ctx.result(double) == [Inner(Count=0), Inner(Count=2)]

    assert rehearse(saga, 2).state.result == Raw(b"true")


@pytest.mark.parametrize(("declared", "given", "value"), GIVEN, ids=name_of)
def test_json_is_an_input_of_every_type(declared: Any, given: Any, value: Any) -> None:
    """By the aliases of fields or by their names; and it is the same input as the value itself."""
    definition = definition_with(declared)
    raw = definition.write_input(given)

    assert definition.read_input(raw) == value
    assert definition.same_input(raw, definition.write_input(value))


@pytest.mark.parametrize(("declared", "given", "says"), NOT_GIVEN, ids=name_of)
def test_json_that_a_validator_refuses_is_no_input(declared: Any, given: Any, says: str) -> None:
    """Whether the validator is the user's or follows from the type; its error is one line."""
    with pytest.raises(InvalidInput, match=f"the input of saga 'trip' version 1 does not fit: .*{says}") as raised:
        definition_with(declared).write_input(given)
    assert len(str(raised.value).splitlines()) == 1


def test_a_model_is_stored_by_the_names_of_its_fields() -> None:
    """An alias may change, or be one for reading and another for writing."""
    raw = definition_with(Inner).write_input(Inner(Count=1, STEP=2))

    assert bytes(raw) == b'{"count":1,"step":2}'


def test_an_untyped_payload_may_have_models_in_it() -> None:
    """Each is written by the names of its fields."""
    raw = write_payload("the payload", {"inner": [Inner(Count=1)]})

    assert bytes(raw) == b'{"inner":[{"count":1,"step":0}]}'
    assert decoder_of(dict[str, list[Inner]], "the payload").decode(raw) == {"inner": [Inner(Count=1)]}


def test_two_inputs_with_models_are_the_same_if_their_values_are() -> None:
    """Whatever private attributes or cached values they have."""
    definition = definition_with(Order)
    one = order(id="00000000-0000-0000-0000-000000000001", tags={"a", "b"})
    other = one.model_copy(update={"tags": {"b", "a"}})

    assert definition.same_input(definition.write_input(one), definition.write_input(other))
    assert not definition.same_input(definition.write_input(one), definition.write_input(order()))


class Trip(BaseModel):
    """A model of which the fingerprint is known."""

    city: str = Field(alias="City", description="where to")
    nights: int = Field(1, gt=0)
    on: date | None = None
    kind: Literal["a", "b"] = "a"


class Journey(BaseModel):
    """The same in JSON, with another name, other words and other limits."""

    city: str = Field(alias="town")
    nights: int = Field(2, ge=1, title="N")
    on: date | None = Field(None, description="when")
    kind: Literal["a", "b"] = "b"


class LongTrip(Trip):
    """With one field more."""

    hotels: list[Inner] = []


class OtherTrip(Trip):
    """With another type of a field."""

    nights: float = 1  # type: ignore[assignment]


def test_the_fingerprint_of_a_type_with_models_does_not_depend_on_the_version_of_pydantic() -> None:
    """It is on record: if this fails, sagas of existing ledgers would need a new version of their definition."""
    definitions = [definition_with(list[LongTrip]), definition_with(dict[str, Order | list[Cat | Dog] | None])]

    assert [definition.fingerprint for definition in definitions] == ["0914d8904143137d", "fbf557143029fba6"]


@pytest.mark.parametrize(("other", "same"), [(Journey, True), (LongTrip, False), (OtherTrip, False)])
def test_a_fingerprint_has_what_the_json_of_a_model_means(other: Any, same: bool) -> None:
    """Not its aliases, words, limits and defaults."""
    assert (definition_with(other).fingerprint == definition_with(Trip).fingerprint) is same


def test_neither_pydantic_nor_attrs_is_imported_for_those_who_do_not_use_them() -> None:
    """A saga is declared and its values are written and read without them."""
    program = (
        "import sys, sagaledger as s\n"
        "saga = s.Saga('trip', input=int)\n"
        "saga.step(name='book', compensable=False)(lambda i, c: [i])\n"
        "assert saga.definition.read_input(saga.definition.write_input(1)) == 1\n"
        "print([name for name in ('pydantic', 'attr') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_pydantic_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be told to read by names."""
    monkeypatch.setattr(pydantic, "VERSION", "2.10.6")

    with pytest.raises(DefinitionError, match=r"the result of step 'book' needs pydantic 2.11 or newer, not 2.10.6"):
        step_with(Trip)


def test_json_that_no_model_becomes_is_a_damaged_record() -> None:
    """As for every other type."""
    with pytest.raises(InvalidInput, match="does not fit"):
        definition_with(Trip).read_input(Raw(b'{"city":5}'))
