"""Types of every kind that a definition may declare: those that are stored, and those that are refused."""

from __future__ import annotations

import ipaddress
import pathlib
import uuid
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel, SecretStr
from typing_extensions import TypedDict

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Custom:
    """Nothing that JSON becomes."""


# What is stored


class Plain(msgspec.Struct):
    number: int
    text: str = "d"


class Frozen(msgspec.Struct, frozen=True):
    number: int


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True):
    some_number: int
    other_numbers: list[int] = []


class Card(msgspec.Struct, tag=True):
    number: int


class Cash(msgspec.Struct, tag=True):
    number: int


@dataclass
class Line:
    sku: str
    pieces: int = 1
    at: datetime | None = None
    kinds: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.pieces < 1:
            raise ValueError("pieces must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    lines: tuple[Line, ...]
    by_sku: dict[str, Line] = field(default_factory=dict)
    total: Decimal = field(default=Decimal(0), compare=False)
    _note: str = ""


@dataclass(eq=False)
class Box(Generic[T]):
    held: T


class Point(NamedTuple):
    x: int
    line: Line
    label: str = ""


class Options(TypedDict):
    size: int
    colour: NotRequired[Colour]


@attrs.define
class Parcel:
    grams: int = attrs.field(converter=int, validator=attrs.validators.gt(0))
    lines: list[Line] = attrs.field(factory=list)
    code: str = attrs.field(default="", alias="barcode")
    doubled: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.doubled = 2 * self.grams


@attrs.frozen
class Van:
    parcels: tuple[Parcel, ...]


class Inner(BaseModel):
    count: int = Field(alias="Count")
    step: int = Field(0, validation_alias=pydantic.AliasChoices("Step", "STEP"), serialization_alias="WrittenStep")


class Order(BaseModel):
    """With what a model can have."""

    inner: Inner = Field(alias="INNER")
    many: list[Inner] = []
    by_name: dict[str, Inner | None] = {}
    at: datetime | None = None
    wait: timedelta = timedelta(days=1)
    tags: set[str] = set()
    price: Decimal = Decimal("1.0")
    path: pathlib.Path = pathlib.Path("/a")
    address: ipaddress.IPv4Address = ipaddress.IPv4Address("10.0.0.1")
    id: uuid.UUID = Field(default_factory=uuid.uuid4)
    colour: Colour = Colour.RED
    positive: Annotated[int, Field(gt=0)] = 1
    _seen: int = PrivateAttr(0)

    @pydantic.field_validator("positive")
    @classmethod
    def _is_lucky(cls, value: int) -> int:
        if value == 13:
            raise ValueError("must be lucky")
        return value

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.positive

    @cached_property
    def costly(self) -> object:
        return object()


class Closed(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_bytes="base64", val_json_bytes="base64"
    )
    on: date
    data: bytes = b"\xff"
    sizes: tuple[int, ...] = ()

    @pydantic.computed_field
    def weekday(self) -> int:
        return self.on.weekday()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    number: int


class Numbers(RootModel[list[int]]):
    pass


class Page(BaseModel, Generic[T]):
    items: list[T]


class Tree(BaseModel):
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str
    breed: Literal["poodle", "spaniel"] | str = "poodle"


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


@dataclass
class Basket:
    """A dataclass with a model in it."""

    order: Order
    pieces: int = 1


@pydantic.dataclasses.dataclass
class Slot:
    number: int = Field(gt=0)
    until: datetime | None = None
    path: pathlib.Path = pathlib.Path("a")


class Request(TypedDict):
    order: Order
    pets: list[Cat | Dog]


class Spot:
    """A class that pydantic knows by what a model says of it."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spot) and other.x == self.x

    def __hash__(self) -> int:
        return self.x


class Place(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    spot: (
        Annotated[
            Spot,
            pydantic.BeforeValidator(lambda given: given if isinstance(given, Spot) else Spot(given)),
            pydantic.PlainSerializer(lambda spot: spot.x),
            pydantic.WithJsonSchema({"type": "integer"}),
        ]
        | str
    )


class Pair(NamedTuple):
    order: Order
    count: int = 0


def order(**fields: Any) -> Order:
    """An order that has been worked with."""
    made = Order.model_validate({"INNER": {"Count": 1, "STEP": 4}, **fields})
    made._seen = 5
    assert made.costly
    return made


def shrunk(*members: int) -> set[int]:
    """A set that has been larger: its members come in another order than those of one that is read."""
    numbers = set(range(200))
    for number in range(200):
        if number not in members:
            numbers.remove(number)
    return numbers


NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)
UserId = NewType("UserId", int)

STORED: list[tuple[Any, Any]] = [
    (Plain, Plain(1)),
    (set[Frozen], {Frozen(1)}),
    (Renamed, Renamed(1)),
    (Card | Cash | None, Cash(1)),
    (Line, Line("a", 2, NOON)),
    (list[Line], [Line("a")]),
    (Cart, Cart(lines=(Line("a"),), by_sku={"a": Line("a")}, total=Decimal("1.50"), _note="x")),
    (Box[int], Box(1)),
    (Box[set[int]], Box(shrunk(7, 15, 23))),
    (Point, Point(1, Line("a"))),
    (list[Point | None], [Point(1, Line("a"), "b"), None]),
    (Options, {"size": 1, "colour": Colour.BLUE}),
    (Parcel, Parcel("3", [Line("a")], "c")),  # type: ignore[arg-type]
    (Van, Van((Parcel(1), Parcel(2)))),
    (dict[Colour, UserId], {Colour.RED: UserId(1)}),
    (Literal["a", "b"] | str, "c"),
    (Order, order(many=[{"Count": 2}], by_name={"a": {"Count": 3}, "b": None}, at=NOON, tags={"a", "b"})),
    (Order | None, order()),
    (list[Order], [order()]),
    (dict[str, Order | None], {"a": order(), "b": None}),
    (tuple[Order, int], (order(), 1)),
    (Order | int, 3),
    (Closed, Closed(on=date(2020, 1, 1), data=b"\xfe\x00", sizes=(1, 2))),
    (set[Closed], {Closed(on=date(2020, 1, 1))}),
    (Open, Open.model_validate({"number": 1, "else": "x"})),
    (Numbers, Numbers([1, 2])),
    (Page[Order], Page[Order](items=[order()])),
    (Tree, Tree(children=[Tree(), Tree(children=[Tree()])])),
    (Cat | Dog, Dog(name="Rex")),
    (Owner, Owner(pet=Cat(name="Tom"))),
    (Basket, Basket(order(), 2)),
    (list[Slot], [Slot(1, NOON)]),
    (Request, {"order": order(), "pets": [Cat(name="Tom"), Dog(name="Rex")]}),
    (Pair, Pair(order(), 2)),
    (Place, Place(spot=Spot(1))),
]
"""Each with a value, which is read back as it was."""


# What is refused where it is declared


@attrs.define
class Hidden:
    shown: int
    _hidden: int = 0


@attrs.define
class Untyped:
    number = attrs.field()


@dataclass
class Seeded:
    number: int
    seed: InitVar[int]


class Secret(BaseModel):
    password: SecretStr


class Partly(BaseModel):
    number: int = Field(1, exclude=True)


class Binary(BaseModel):
    data: bytes


class HalfBinary(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")
    data: bytes


@dataclass
class BinaryBasket:
    order: Order
    data: bytes


class Swapped(BaseModel):
    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Kitten(BaseModel):
    name: str


class Puppy(BaseModel):
    name: str
    age: int = 0


class Kennel(BaseModel):
    pets: list[Kitten | Puppy]


class Moment(BaseModel):
    at: str | datetime


class Priced(BaseModel):
    price: Decimal | str


class Choice(RootModel[int | str]):
    pass


class Rooted(BaseModel):
    choice: Choice | str


class Tint(BaseModel):
    colour: Colour | str


class Arbitrary(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    custom: Custom


class Grid(BaseModel):
    cells: dict[tuple[int, int], int]


class StructOfModel(msgspec.Struct):
    order: Order


@attrs.define
class AttrsOfModel:
    order: Order


REFUSED: list[tuple[Any, str]] = [
    (Custom, "Custom, which cannot be read back from JSON: use a msgspec.Struct, a dataclass, an attrs class, a pydan"),
    (list[Custom], "Custom, which cannot"),
    (deque[int], "deque, which cannot"),
    (Counter[str], "Counter, which cannot"),
    (Iterable[int], "Iterable, which cannot"),
    (pathlib.Path, "Path, which cannot"),
    (msgspec.msgpack.Ext, "Ext, which cannot"),
    (Plain | Line, "more than one dict-like type.*; what JSON cannot tell apart needs a tag"),
    (Plain | Frozen, "must be tagged.*; what JSON cannot tell apart needs a tag"),
    (Line | Seeded, "cannot be read back"),
    (str | datetime, "more than one str-like"),
    (list[int] | set[int], "more than one array-like"),
    (Mixed, "Enums must contain"),
    (Seeded, "InitVar"),
    (Final[int], "is for variables"),
    (int | msgspec.UnsetType, "UNSET, which stands for a field that is left out"),
    (Hidden, "field _hidden of attrs class Hidden, which is not written: rename it"),
    (list[Hidden], "field _hidden"),
    (Untyped, "field number of attrs class Untyped, which has no type: annotate it"),
    (set[list[int]], r"a set of list\[int\], which has no hash: use a list"),
    (frozenset[tuple[dict[str, int], ...]], r"a set of dict\[str, int\], which has no hash"),
    (set[Plain], "a set of Plain, which has no hash"),
    (list[set[Line]], "a set of Line, which has no hash"),
    (set[Options], "a set of Options, which has no hash"),
    (dict[tuple[int, int], str], r"a dict whose keys are tuple\[int, int\]"),
    (dict[bool, int], "a dict whose keys are bool"),
    (dict[str | None, int], "a dict whose keys are None"),
    (dict[str | int, int], r"a dict whose keys are str \| int"),
    (dict[Frozen, int], "a dict whose keys are Frozen"),
    (dict[Closed, int], "a dict whose keys are Closed"),
    (set[Kitten], "a set of Kitten, which has no hash"),
    (Grid, "a dict whose keys are"),
    (Secret, "a secret is masked when it is written: use a text"),
    (list[Partly], "field 'number' of Partly is excluded when it is written"),
    (Binary, "bytes are written as UTF-8, .* set ser_json_bytes='base64'"),
    (HalfBinary, "HalfBinary reads bytes in another way than it writes them"),
    (BinaryBasket, "bytes are written as UTF-8"),
    (Swapped, "field 'a' of Swapped has the alias 'b', which is the name of another field"),
    (Kitten | Puppy, r"JSON cannot tell .*Kitten \| Puppy.* apart: give its models a discriminator"),
    (Kennel, r"JSON cannot tell .*Kitten \| Puppy apart: give its models a discriminator"),
    (Order | dict[str, int], "JSON cannot tell"),
    (Moment, r"JSON cannot tell .*string \| date-time apart: use one of them"),
    (Priced, r"JSON cannot tell .*Decimal \| str apart: use one of them"),
    (Rooted, r"JSON cannot tell .*integer \| string \| string apart: use one of them"),
    (Tint, r"JSON cannot tell .*Colour \| string apart: use one of them"),
    (Arbitrary, "pydantic cannot read from JSON"),
    (StructOfModel, "no msgspec structs or attrs classes"),
    (AttrsOfModel, "no msgspec structs or attrs classes"),
]
"""Each with what its error says."""


# Values that do not fit, or of which a part would be lost


class Bigger(Kitten):
    age: int = 1


class Growing(BaseModel):
    number: int

    @pydantic.field_validator("number")
    @classmethod
    def _grow(cls, value: int) -> int:
        return value + 1


class German(BaseModel):
    on: date

    @pydantic.field_serializer("on")
    def _in_german(self, value: date) -> str:
        return value.strftime("%d.%m.%Y")


@attrs.define
class LongParcel(Parcel):
    length: int = 1


@dataclass
class LongLine(Line):
    length: int = 1


def _changed(model: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        object.__setattr__(model, name, value)
    return model


MISFITS: list[tuple[Any, Any, str]] = [
    (str, 3, "Expected `str"),
    (list[str], ["a", 3], r"Expected `str`, got `int` - at `\$\[1\]`"),
    (int, "3", "Expected `int"),
    (Line, Plain(1), "missing required field `sku`"),
    (Line, LongLine("a"), "another value"),
    (Line, _changed(Line("a"), pieces=0), "pieces must be positive"),
    (Parcel, LongParcel(1), "another value"),
    (Parcel, _changed(Parcel(1), grams=0), "must be > 0"),
    (Parcel, _changed(Parcel(1), grams="1"), "Expected `int`"),
    (Options, {"size": 1, "weight": 2}, "another value"),
    (Point, (1,), "of length 2 to 3"),
    (Order, 3, "does not fit: Expected `Order`, got `int`"),
    (Order, {"INNER": {"Count": 1}}, "does not fit: Expected `Order`, got `dict`"),
    (Order, Kitten(name="a"), r"Field required - at `\$.INNER`"),
    (list[Kitten], [Kitten(name="a"), 3], "Expected `Kitten`, got `int`"),
    (Kitten, Bigger(name="a"), "another value"),
    (list[Kitten], [Bigger(name="a")], "another value"),
    (Order, _changed(order(), colour="green"), "Expected `enum`, got `str` - in field 'colour'"),
    (Order, _changed(order(), positive=13), r"must be lucky - at `\$.positive`"),
    (Order, Order.model_construct(inner=3), "Expected `Inner`, got `int` - in field 'inner'"),
    (Growing, Growing(number=1), "another value"),
    (German, German(on=date(2020, 1, 1)), r"valid date.* - at `\$.on`"),
    (Slot, _changed(Slot(1), number=0), r"greater than 0 - at `\$.number`"),
    (Any, [Secret(password=SecretStr("x"))], "a part of Secret would be lost"),
    (Any, German(on=date(2020, 1, 1)), "German cannot be read back"),
]
"""Each with its declared type, and with what the error says."""

GIVEN: list[tuple[Any, Any, Any]] = [
    (Line, {"sku": "a"}, Line("a")),
    (Parcel, {"grams": 2, "code": "c"}, Parcel(2, [], "c")),
    (Point, [1, {"sku": "a"}], Point(1, Line("a"))),
    (Inner, {"Count": 1, "STEP": 2}, Inner(Count=1, STEP=2)),
    (Inner, {"count": 1, "step": 2}, Inner(Count=1, STEP=2)),
    (list[Inner], [{"Count": 1}, {"count": 1}], [Inner(Count=1), Inner(Count=1)]),
    (Slot, {"number": 2}, Slot(2)),
    (Cat | Dog, {"kind": "dog", "name": "Rex"}, Dog(name="Rex")),
]
"""Each with JSON that is given for an input, and what it becomes."""

NOT_GIVEN: list[tuple[Any, Any, str]] = [
    (Line, {"sku": "a", "pieces": 0}, "pieces must be positive"),
    (Parcel, {"grams": -1}, "must be > 0"),
    (Order, {"INNER": {}}, r"Field required - at `\$.INNER.Count`"),
    (Order, {"INNER": {"Count": 1}, "positive": 13}, r"must be lucky - at `\$.positive`"),
    (Closed, {"on": "2020-01-01", "other": 1}, r"Extra inputs are not permitted - at `\$.other`"),
    (Slot, {"number": 0}, r"greater than 0 - at `\$.number`"),
    (list[Inner], [{}, {}, {}, {}], "and 1 more"),
]
"""Each with JSON that does not fit, and with what the error says."""
