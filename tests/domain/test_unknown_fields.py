"""An input with a field that its type lacks is refused, by the path of the field: it would be lost silently."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest
from msgspec import Raw

from sagaledger.domain.errors import InvalidInput
from sagaledger.domain.saga.definition import Definition
from sagaledger.domain.saga.saga import Saga


class Line(msgspec.Struct, rename="camel", omit_defaults=True):
    """A struct, whose fields have other names in JSON, and that leaves out defaults."""

    unit_price: int = 1


@dataclass
class Order:
    """A dataclass with all there is."""

    number: str
    lines: list[Line] = field(default_factory=list)
    by_name: dict[str, Line] = field(default_factory=dict)
    pair: tuple[int, Line] | None = None


class Plan(TypedDict):
    """A typed dict."""

    name: str
    order: NotRequired[Order]


class Cat(msgspec.Struct, tag=True):
    """One of a union."""

    name: str


class Dog(msgspec.Struct, tag="dog", tag_field="kind"):
    """One whose tag has another name."""

    name: str


class Bird(msgspec.Struct, tag=True):
    """The other one of the union."""

    wings: int


class Point(msgspec.Struct, array_like=True):
    """A struct that is written as an array."""

    x: int
    y: int = 0


class Place(NamedTuple):
    """A named tuple."""

    name: str
    line: Line


class LongLine(Line):
    """A line with a field more."""

    note: str = ""


def of_input(type_: Any) -> Definition:
    saga = Saga("trip", input=type_)
    saga.wait_for("word")
    return saga.definition


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        (Line, {"unitPrice": 1, "unit_price": 2}, "unit_price"),
        (Line, LongLine(2, "note"), "note"),
        (Order, {"number": "1", "amount": 2}, "amount"),
        (Order, {"number": "1", "lines": [{}, {"sku": 1}]}, "lines[1].sku"),
        (Order, {"number": "1", "by_name": {"a": {"b": 1}}}, "by_name.a.b"),
        (Order, {"number": "1", "pair": [1, {"c": 1}]}, "pair[1].c"),
        (Plan, {"name": "a", "size": 1}, "size"),
        (Plan, {"name": "a", "order": {"number": "1", "size": 1}}, "order.size"),
        (Line | None, {"size": 1}, "size"),
        (Cat | Bird, {"type": "Bird", "wings": 2, "name": "a"}, "name"),
        (Dog, {"kind": "dog", "name": "a", "type": "dog"}, "type"),
        (list[Order], [{"number": "1"}, {"number": "2", "size": 3}], "[1].size"),
        (Point, [1, 2, 3], "[2]"),
        (list[Point], [[1], [1, 2, 3]], "[1][2]"),
        (Place, ["a", {"b": 1}], "[1].b"),
    ],
)
def test_a_field_that_the_type_lacks_is_refused_by_its_path(type_: Any, value: Any, path: str) -> None:
    """In structs, dataclasses, typed dicts, and whatever holds them; the error has the saga and the remedy."""
    with pytest.raises(InvalidInput, match=r"saga 'trip' version 1 does not fit.*leave it out, or add it") as refused:
        of_input(type_).write_input(value)

    assert f"its type has no field {path!r}" in str(refused.value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Line, {"unitPrice": 1}),
        (Line, Line()),
        (Order, {"lines": [{"unitPrice": 2}], "number": "1", "pair": [1, {}]}),
        (Plan, {"order": {"number": "1"}, "name": "a"}),
        (Cat | Bird, {"wings": 2, "type": "Bird"}),
        (Dog, {"name": "a", "kind": "dog"}),
        (Cat, {"name": "a"}),
        (Point, [1]),
        (Place, ["a", {}]),
        (dict[str, Any], {"b": {"c": 1}, "a": 1.0}),
        (Any, {"b": {"c": 1}}),
    ],
)
def test_a_value_in_another_form_is_accepted(type_: Any, value: Any) -> None:
    """Without defaults, in another order, with the tag of its class, or of a type that says nothing."""
    definition = of_input(type_)

    assert definition.read_input(definition.write_input(value)) is not None


class Model(pydantic.BaseModel):
    """A model of pydantic's, with an alias."""

    number: int
    name: str = pydantic.Field("", alias="title")


class Shelf(pydantic.BaseModel):
    """A model with another in it."""

    models: list[Model]


class Open(pydantic.BaseModel):
    """A model that says what it does with other fields."""

    model_config = pydantic.ConfigDict(extra="allow")
    number: int


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        (Model, {"number": 1, "titel": "a"}, "$.titel"),
        (Shelf, {"models": [{"number": 1, "size": 2}]}, "$.models[0].size"),
    ],
)
def test_a_field_that_a_model_lacks_is_refused_by_its_path(type_: Any, value: Any, path: str) -> None:
    """As pydantic says it."""
    with pytest.raises(InvalidInput, match="does not fit: Extra inputs are not permitted") as refused:
        of_input(type_).write_input(value)

    assert path in str(refused.value)


def test_a_model_may_say_itself_what_becomes_of_other_fields() -> None:
    """And a field is no other one if it is given by its alias, or by its name."""
    assert bytes(of_input(Open).write_input({"number": 1, "size": 2})) == b'{"number":1,"size":2}'
    assert of_input(Model).write_input({"number": 1, "title": "a"}) == of_input(Model).write_input(
        {"name": "a", "number": 1}
    )
    assert of_input(Model).read_input(Raw(b'{"number":1,"size":2}')).number == 1  # what is recorded is read
