"""What changed between two structures of one version, and which of these changes its sagas can go on with."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.schema_changes import StructuralDifference
from sagaledger.domain.saga.structure_changes import differences


def changes(before: Saga[Any], now: Saga[Any]) -> list[StructuralDifference]:
    recorded, present = (msgspec.json.decode(saga.definition.structure) for saga in (before, now))
    return differences(recorded, present)


def texts(found: list[StructuralDifference], *, breaking: bool) -> list[str]:
    return [str(difference) for difference in found if difference.is_breaking is breaking]


def nothing(*_: Any) -> None:
    """An action, or a compensation."""


def of_steps(*names: str, pivot: str | None = None, **options: Any) -> Saga[Any]:
    """A saga of steps in a row."""
    saga = Saga("trip", input=str)
    for name in names:
        step = saga.step(name=name, pivot=name == pivot, compensable=False, **options)
        step(nothing)
    return saga


def of_input(type_: Any) -> Saga[Any]:
    saga = Saga("trip", input=type_)
    saga.step(name="book", compensable=False)(nothing)
    return saga


def of_result(type_: Any) -> Saga[Any]:
    def book(*_: Any) -> Any: ...

    book.__annotations__ = {"return": type_}
    saga = Saga("trip", input=str)
    saga.step(compensable=False)(book)
    return saga


STEPS: dict[str, tuple[Saga[Any], Saga[Any], list[str]]] = {
    "added": (of_steps("a", "b"), of_steps("a", "x", "b"), ["step 'x' was added"]),
    "removed": (of_steps("a", "x", "b"), of_steps("a", "b"), ["step 'x' was removed"]),
    "reordered": (
        of_steps("a", "b", "c"),
        of_steps("b", "a", "c"),
        ["the steps were reordered: ['b', 'a', 'c'] instead of ['a', 'b', 'c']"],
    ),
    "pivot moved": (
        of_steps("a", "b", pivot="a"),
        of_steps("a", "b", pivot="b"),
        ["the pivot moved from step 'a' to step 'b'"],
    ),
    "pivot added": (of_steps("a"), of_steps("a", pivot="a"), ["step 'a' is the pivot now"]),
    "pivot removed": (of_steps("a", pivot="a"), of_steps("a"), ["step 'a' is not the pivot any more"]),
    "unknown outcomes": (
        of_steps("a"),
        of_steps("a", on_unknown="compensate"),
        ["step 'a' has on_unknown='compensate' instead of 'retry'"],
    ),
    "conditional": (of_steps("a"), of_steps("a", when=lambda *_: True), ["step 'a' has a condition now"]),
}


@pytest.mark.parametrize("what", STEPS)
def test_a_change_of_the_steps_is_breaking_and_named(what: str) -> None:
    """Each of them by what a person did to the code, and by nothing that only follows from it."""
    before, now, expected = STEPS[what]

    found = changes(before, now)

    assert texts(found, breaking=True) == expected
    assert texts(found, breaking=False) == []


def _of_kind(kind: str) -> Saga[Any]:
    saga = Saga("trip", input=str)
    nested = Saga("inn" if kind == "other saga" else "hotel", input=str)
    nested.step(name="room", compensable=False)(nothing)
    match kind:
        case "local":
            saga.local_step(name="a", compensable=False)(lambda *_: [])
        case "timer":
            saga.sleep("a", seconds=1)
        case "signal" | "other signal":
            saga.wait_for("a", signal="word" if kind == "signal" else "sign")
        case "saga" | "other saga":
            saga.sub_saga(nested, name="a", compensable=False)(nothing)
        case "compensated":
            saga.step(name="a")(nothing).compensation(nothing)
        case "after":
            saga.step(name="z", compensable=False)(nothing)
            saga.step(name="a", compensable=False, after=[])(nothing)
        case "after z":
            saga.step(name="z", compensable=False)(nothing)
            saga.step(name="a", compensable=False)(nothing)
        case _:
            saga.step(name="a", compensable=False)(nothing)
    return saga


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("call", "local", "step 'a' is a local step instead of a call"),
        ("timer", "signal", "step 'a' is a wait for a signal instead of a timer"),
        ("saga", "call", "step 'a' is a call instead of a sub-saga"),
        ("signal", "other signal", "step 'a' waits for signal 'sign' instead of 'word'"),
        ("saga", "other saga", "step 'a' waits for saga 'inn' instead of 'hotel'"),
        ("call", "compensated", "step 'a' has a compensation now"),
        ("compensated", "call", "step 'a' has no compensation any more"),
        ("after z", "after", "step 'a' comes after [] instead of ['z']"),
    ],
)
def test_a_step_of_another_kind_is_breaking_and_named(before: str, now: str, expected: str) -> None:
    """And so is one that waits for something else, or is undone otherwise."""
    assert list(map(str, changes(_of_kind(before), _of_kind(now)))) == [expected]


def test_what_is_not_known_of_a_step_is_breaking_if_it_differs() -> None:
    """A new property of steps cannot slip through."""
    structure = msgspec.json.decode(of_steps("a").definition.structure)
    changed = {**structure, "steps": [{**structure["steps"][0], "novel": True}], "kind": 7}

    assert list(map(str, differences(structure, changed))) == ["step 'a' has novel true now", "the saga has kind 7 now"]
    assert list(map(str, differences(changed, structure))) == [
        "step 'a' has no novel any more",
        "the saga has no kind any more",
    ]
    assert all(difference.is_breaking for difference in differences(structure, changed))


class Address(msgspec.Struct):
    """A part of an input."""

    street: str


class Order(msgspec.Struct):
    """An input, as it was recorded."""

    number: str
    amount: int
    colour: Literal["red", "green"]
    address: Address
    lines: list[Address]
    note: str = ""


def order(**changed: Any) -> Any:
    """The same input under another name, with other fields; None removes one, a tuple has a default."""
    fields = {**{each.name: each.type for each in msgspec.structs.fields(Order)}, "note": (str, ""), **changed}
    required = [(name, type_) for name, type_ in fields.items() if type_ is not None and not isinstance(type_, tuple)]
    optional = [(name, *type_) for name, type_ in fields.items() if isinstance(type_, tuple)]
    return msgspec.defstruct("Purchase", required + optional)


class Hotel(msgspec.Struct):
    """Like an address, with one field more that is needed."""

    street: str
    stars: int


class Villa(msgspec.Struct):
    """Like an address, with one field more that may be absent."""

    street: str
    pool: bool = False


BREAKING: dict[str, tuple[Any, str]] = {
    "added": (order(email=str), "field 'email' of the input was added without a default"),
    "removed": (order(amount=None), "field 'amount' of the input was removed"),
    "type": (order(amount=float), "field 'amount' of the input has the type number instead of integer"),
    "narrowed": (order(colour=Literal["red"]), "field 'colour' of the input cannot be \"green\" any more"),
    "nested": (order(address=Hotel), "field 'address.stars' of the input was added without a default"),
    "in a list": (order(lines=list[Hotel]), "field 'lines[].stars' of the input was added without a default"),
    "no list": (order(lines=Address), "field 'lines' of the input has the type object instead of array"),
    "needed": (order(note=str), "field 'note' of the input has no default any more"),
    "default": (order(note=(str, "none")), "field 'note' of the input has another default"),
    "another": (str, "the input has the type string instead of object"),
}
ADDITIVE: dict[str, tuple[Any, list[str]]] = {
    "renamed": (order(), []),
    "added": (order(email=(str | None, None)), ["field 'email' of the input was added, and may be absent"]),
    "nested": (order(address=Villa), ["field 'address.pool' of the input was added, and may be absent"]),
    "in a list": (order(lines=list[Villa]), ["field 'lines[].pool' of the input was added, and may be absent"]),
    "optional": (order(amount=(int, 0)), ["field 'amount' of the input has a default now"]),
    "widened": (order(amount=int | None), ["field 'amount' of the input may also be null"]),
    "union": (order(address=Address | str), ["field 'address' of the input may also be string"]),
    "value": (
        order(colour=Literal["red", "green", "blue"]),
        ["field 'colour' of the input may also be \"blue\""],
    ),
}


@pytest.mark.parametrize("what", BREAKING)
def test_an_input_that_cannot_be_read_any_more_is_breaking(what: str) -> None:
    """The difference has the path of the field."""
    type_, expected = BREAKING[what]

    assert texts(changes(of_input(Order), of_input(type_)), breaking=True) == [expected]


@pytest.mark.parametrize("what", ADDITIVE)
def test_an_input_that_can_still_be_read_is_additive(what: str) -> None:
    """Whatever was recorded reads as the new type."""
    type_, expected = ADDITIVE[what]
    recorded = Order("1", 2, "red", Address("a"), [Address("b")])

    found = changes(of_input(Order), of_input(type_))

    assert texts(found, breaking=True) == []
    assert texts(found, breaking=False) == expected
    of_input(type_).definition.read_input(of_input(Order).definition.write_input(recorded))


@pytest.mark.parametrize("what", BREAKING)
def test_the_same_holds_for_results(what: str) -> None:
    """They are read by the steps and the compensations that follow."""
    type_, expected = BREAKING[what]

    found = changes(of_result(Order), of_result(type_))

    assert [text.replace("the result of step 'book'", "the input") for text in texts(found, breaking=True)] == [
        expected
    ]


class Node(msgspec.Struct):
    """A type that contains itself."""

    name: str
    parts: list[Node] = []


class Knot(msgspec.Struct):
    """The same with another field."""

    name: str
    parts: list[Knot] = []
    size: int = 0


class Cat(msgspec.Struct, tag=True):
    """One of a union."""

    name: str


class Dog(msgspec.Struct, tag=True):
    """The other one."""

    name: str


class Puppy(msgspec.Struct, tag="Dog"):
    """A dog that was renamed, with a field more."""

    name: str
    age: int = 0


class Bird(msgspec.Struct, tag=True):
    """Another one."""


class Plan(TypedDict):
    """A typed dict."""

    name: str


class LongPlan(TypedDict):
    """It again, with a key that may be absent."""

    name: str
    size: NotRequired[int]


class FullPlan(TypedDict):
    """It again, with a key that is needed."""

    name: str
    size: int


@dataclass
class Bag:
    """A dataclass."""

    name: str


@dataclass
class BigBag:
    """It again, with a field that has a default."""

    name: str
    tags: list[str] = field(default_factory=list)


class Pair(msgspec.Struct, array_like=True):
    """A struct that is written as an array."""

    first: int


class Triple(msgspec.Struct, array_like=True):
    """It again, with an element that may be absent."""

    first: int
    second: int = 0


class Colour(enum.Enum):
    """An enumeration."""

    RED = 1


class MoreColours(enum.Enum):
    """It again, with a value more."""

    RED = 1
    GREEN = 2


class Parrot(pydantic.BaseModel):
    """A model of a union with a discriminator."""

    kind: Literal["parrot"] = "parrot"
    words: int


class Fish(pydantic.BaseModel):
    """The other one."""

    kind: Literal["fish"] = "fish"


class TalkingParrot(pydantic.BaseModel):
    """A parrot with a field that has a default."""

    kind: Literal["parrot"] = "parrot"
    words: int
    loud: bool = False


class LoudParrot(pydantic.BaseModel):
    """A parrot with a field that is needed."""

    kind: Literal["parrot"] = "parrot"
    words: int
    loud: bool


pet_union: Any = Annotated[Parrot | Fish, pydantic.Field(discriminator="kind")]


def pet(parrot: Any) -> Any:
    """A model with such a union in it."""
    return owner(Annotated[parrot | Fish, pydantic.Field(discriminator="kind")])


def owner(animal: Any) -> Any:
    """A model with a field of a type."""
    return pydantic.create_model("Owner", animal=(animal, ...))


@pytest.mark.parametrize(
    ("before", "now", "additive"),
    [
        (Node, Knot, True),
        (Knot, Node, False),
        (Cat | Dog, Cat | Puppy, True),
        (Cat | Dog, Cat | Dog | Bird, True),
        (Cat | Dog | Bird, Cat | Dog, False),
        (Cat | Dog, Cat | Bird, False),
        (Cat, Dog, False),
        (Plan, LongPlan, True),
        (Plan, FullPlan, False),
        (LongPlan, FullPlan, False),
        (Bag, BigBag, True),
        (BigBag, Bag, False),
        (Pair, Triple, True),
        (Triple, Pair, False),
        (Colour, MoreColours, True),
        (MoreColours, Colour, False),
        (dict[str, Plan], dict[str, LongPlan], True),
        (dict[str, Plan], dict[str, FullPlan], False),
        (tuple[int, str], tuple[int, str, int], False),
        (tuple[int, Bag], tuple[int, BigBag], True),
        (set[int], set[str], False),
        (Parrot, TalkingParrot, True),
        (Parrot, LoudParrot, False),
        (TalkingParrot, Parrot, False),
        (pet(Parrot), pet(TalkingParrot), True),
        (pet(Parrot), pet(LoudParrot), False),
        (owner(Parrot | None), owner(pet_union | int | None), True),
        (owner(pet_union | int | None), owner(Parrot | None), False),
        (Any, Bag, False),
        (Bag, Any, False),
    ],
)
def test_every_form_of_type_is_compared(before: Any, now: Any, additive: bool) -> None:
    """Recursive types, unions, typed dicts, dataclasses, arrays, enumerations and mappings."""
    found = changes(of_input(before), of_input(now))

    assert found
    assert any(difference.is_breaking for difference in found) is not additive


class Add(msgspec.Struct, tag=True):
    """One of several classes that contain each other."""

    left: Add | Subtract | Multiply | Divide
    right: Add | Subtract | Multiply | Divide


class Subtract(Add, tag=True):
    """Another one."""


class Multiply(Add, tag=True):
    """Another one."""


class Divide(Add, tag=True):
    """Another one."""


def test_classes_that_contain_each_other_are_compared_once() -> None:
    """The options of a union are paired by what tells them apart, and not by all that is within them."""
    recorded = msgspec.json.decode(of_input(Add).definition.structure)
    present = msgspec.json.decode(of_input(Add).definition.structure)
    present["input"]["is"]["properties"]["note"] = {"type": "string"}

    assert texts(differences(recorded, present), breaking=False) == [
        "field 'note' of the input was added, and may be absent"
    ]


@pytest.mark.parametrize("type_", [Node, Cat | Dog, Plan, Bag, Pair, Colour, Order, dict[str, Bag], Any])
def test_a_type_does_not_differ_from_itself(type_: Any) -> None:
    """Even if another step, which differs, has it, too."""
    before, now = of_input(type_), of_input(type_)
    now.step(name="more", compensable=False)(nothing)

    assert list(map(str, changes(before, now))) == ["step 'more' was added"]
