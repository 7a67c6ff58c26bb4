"""A saga definition that cannot work is refused, with an error that says what to change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sagaledger.domain.errors import DefinitionError, InvalidInput
from sagaledger.domain.saga.retry_policy import Retry
from sagaledger.domain.saga.saga import Saga
from sagaledger.domain.saga.step import StepContext


class Trip(msgspec.Struct):
    """An input."""

    trip_id: str
    nights: int = 1


def nothing(*_: Any) -> None:
    """An action or a compensation."""


def action(trip: Trip, ctx: StepContext) -> None:
    """An action."""


def undo(trip: Trip, result: None, ctx: StepContext) -> None:
    """A compensation."""


def saga(*names: str, **options: Any) -> Saga[Trip]:
    """A saga of compensated steps, one after the other."""
    made = Saga("book_trip", input=Trip, **options)
    for name in names:
        made.step(name=name)(action).compensation(undo)
    return made


def test_steps_run_in_the_order_of_declaration() -> None:
    """Without `after`, each step comes after the one declared before it."""
    definition = saga("flight", "hotel", "car").definition

    assert definition.after == {"flight": (), "hotel": ("flight",), "car": ("hotel",)}
    assert definition.dependents["flight"] == {"hotel", "car"}


def test_steps_after_the_same_ones_are_parallel() -> None:
    """`after` makes a graph; its order respects it."""
    trip = saga("flight")
    trip.step(name="hotel", after=["flight"])(action).compensation(undo)
    trip.step(name="car", after=["flight"])(action).compensation(undo)
    trip.step(name="mail", after=["hotel", "car"], compensable=False)(action)

    definition = trip.definition

    assert [step.name for step in definition.steps] == ["flight", "hotel", "car", "mail"]
    assert definition.dependents["hotel"] == {"mail"}


@pytest.mark.parametrize(
    ("name", "says"),
    [("", "printable name"), ("book-trip", "without '-'"), ("book\ntrip", "printable")],
)
def test_a_name_that_would_break_ids_is_refused(name: str, says: str) -> None:
    """A dash ends the name in a saga's id."""
    with pytest.raises(DefinitionError, match=says):
        Saga(name, input=Trip)


def test_duplicate_step_names_are_refused() -> None:
    """Two steps of one name could not be told apart on the record."""
    trip = saga("flight")

    with pytest.raises(DefinitionError, match="two steps named 'flight': rename one"):
        trip.step(name="flight")(action)


def test_a_missing_compensation_is_refused_unless_declared() -> None:
    """A step before the pivot is undone, or says that there is nothing to undo."""
    trip = Saga("book_trip", input=Trip)
    trip.step(name="flight")(action)

    with pytest.raises(DefinitionError, match=r"'flight' has no compensation.*compensable=False"):
        _ = trip.definition

    declared = Saga("book_trip", input=Trip)
    declared.step(name="flight", compensable=False)(action)
    assert declared.definition.step("flight").undo is None


def test_a_cycle_is_refused_and_shown() -> None:
    """Steps that wait for each other would never run."""
    trip = Saga("book_trip", input=Trip)
    trip.step(name="flight", after=["hotel"])(action).compensation(undo)
    trip.step(name="hotel", after=["flight"])(action).compensation(undo)

    with pytest.raises(DefinitionError, match=r"in a circle \((flight -> hotel -> flight|hotel -> flight -> hotel)\)"):
        _ = trip.definition


def test_after_something_that_is_no_step_is_refused() -> None:
    """The error names the steps there are."""
    trip = Saga("book_trip", input=Trip)
    trip.step(name="flight", after=["visa"])(action).compensation(undo)

    with pytest.raises(DefinitionError, match=r"after 'visa', which is not a step: use one of \['flight'\]"):
        _ = trip.definition


def test_a_saga_without_steps_is_refused() -> None:
    """There would be nothing to do."""
    with pytest.raises(DefinitionError, match="has no steps"):
        _ = Saga("book_trip", input=Trip).definition


def test_what_comes_after_the_pivot_needs_no_compensation_and_takes_none() -> None:
    """After the pivot there is only forward."""
    trip = saga("flight")
    trip.step(name="pay", pivot=True)(action)
    trip.step(name="mail")(action)
    assert trip.definition.pivot == "pay"

    refused = saga("flight")
    refused.step(name="pay", pivot=True)(action)
    refused.step(name="mail")(action).compensation(undo)
    with pytest.raises(DefinitionError, match="'mail' is never undone"):
        _ = refused.definition


def test_a_second_pivot_is_refused() -> None:
    """After the first there is no way back already."""
    trip = Saga("book_trip", input=Trip)
    trip.step(name="pay", pivot=True)(action)
    trip.step(name="mail", pivot=True)(action)

    with pytest.raises(DefinitionError, match=r"pivots \['pay', 'mail'\]"):
        _ = trip.definition


def test_a_step_beside_the_pivot_is_refused() -> None:
    """Whether it can be undone would depend on which of the two is faster."""
    trip = saga("flight")
    trip.step(name="pay", after=["flight"], pivot=True)(action)
    trip.step(name="hotel", after=["flight"])(action).compensation(undo)

    with pytest.raises(DefinitionError, match="'hotel' may run beside the pivot 'pay'"):
        _ = trip.definition


def test_functions_that_cannot_be_called_are_refused() -> None:
    """An action takes the input and the context; a compensation the result, too."""
    trip = Saga("book_trip", input=Trip)

    with pytest.raises(DefinitionError, match="step 'lonely' must take 2 arguments"):
        trip.step(name="lonely")(lambda: None)
    with pytest.raises(DefinitionError, match="compensation of step 'flight' must take 3 arguments"):
        trip.step(name="flight")(action).compensation(action)


def test_a_local_step_that_is_async_is_refused() -> None:
    """It only returns commands."""

    async def reserve(*_: Any) -> list[Any]:
        return []

    with pytest.raises(DefinitionError, match="local step 'reserve' is async"):
        Saga("book_trip", input=Trip).local_step()(reserve)


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"backoff_seconds": -1.0}, {"multiplier": 0.5}, {"jitter": 1.5}],
)
def test_a_retry_policy_without_sense_is_refused(options: dict[str, Any]) -> None:
    """At least one attempt, and no negative waits."""
    with pytest.raises(DefinitionError, match="Retry"):
        Retry(**options)


def test_a_timeout_or_deadline_that_leaves_no_time_is_refused() -> None:
    """Both are seconds above zero."""
    with pytest.raises(DefinitionError, match="timeout of a step is 0 seconds: use a number, more than 0"):
        Saga("book_trip", input=Trip).step(timeout=0)
    with pytest.raises(DefinitionError, match="deadline"):
        Saga("book_trip", input=Trip, deadline=-1)


def test_nothing_is_declared_on_a_saga_in_use() -> None:
    """A definition is on the record of running sagas."""
    trip = saga("flight")
    flight = trip.definition.step("flight")

    with pytest.raises(DefinitionError, match="already in use"):
        trip.step(name="hotel")
    with pytest.raises(DefinitionError, match="already in use"):
        flight.compensation(undo)


def test_backoff_grows_to_its_limit_and_jitter_depends_on_key_and_attempt_alone() -> None:
    """The same attempt waits equally long on every worker."""
    plain = Retry(attempts=9, backoff_seconds=1, multiplier=2, backoff_seconds_max=5, jitter=0)
    assert [plain.delay_seconds("k", n) for n in (1, 2, 3, 4, 100)] == [1, 2, 4, 5, 5]

    varied = Retry(backoff_seconds=1, jitter=0.5)
    assert varied.delay_seconds("k", 1) == varied.delay_seconds("k", 1)
    assert varied.delay_seconds("k", 1) != varied.delay_seconds("other", 1)
    assert 0.5 <= varied.delay_seconds("k", 1) <= 1.5


def test_the_fingerprint_follows_the_structure_and_not_the_tuning() -> None:
    """Tuning retries is no new version; another step or another input is."""
    first = saga("flight", "hotel").definition.fingerprint
    tuned = Saga("book_trip", input=Trip)
    tuned.step(name="flight", retry=Retry(attempts=9), timeout=5)(action).compensation(undo)
    tuned.step(name="hotel", timeout=9)(action).compensation(undo, retry=Retry(attempts=3), timeout=7)

    assert tuned.definition.fingerprint == first
    assert saga("hotel", "flight").definition.fingerprint != first
    assert saga("flight").definition.fingerprint != first


def _with(**options: Any) -> Saga[Any]:
    """A saga of every kind of step, with one thing changed."""
    name = options.get("nested", "hotel")
    nested = Saga(name, input=Trip)
    nested.step(name="room", compensable=False)(nothing)
    made = Saga("book_trip", input=options.get("input", Trip), version=options.get("version", 1))
    flight = made.step(
        name="flight",
        compensable=options.get("compensable", True),
        on_unknown=options.get("on_unknown", "retry"),
    )(options.get("action", nothing))
    if options.get("compensable", True):
        flight.compensation(nothing)
    made.wait_for("word", signal=options.get("signal", "approved"), timeout=options.get("timeout", 9))
    made.sub_saga(nested, name="stay", after=options.get("after", ["flight", "word"]), compensable=False)(nothing)
    pivot = options.get("pivot", "pay")
    made.step(name="pay", after=["stay", "word"], pivot=pivot == "pay", compensable=False)(nothing)
    made.step(name="mail", pivot=pivot == "mail", compensable=False)(nothing)
    return made


def returns_text(*_: Any) -> str:
    """An action with a result."""
    return ""


class Journey(msgspec.Struct):
    """The same input under another name, with another docstring."""

    trip_id: str
    nights: int = 1


class LongTrip(msgspec.Struct):
    """An input."""

    trip_id: str
    nights: int = 2


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2}, {"nested": "inn"}, {"signal": "signed"}, {"action": returns_text}, {"on_unknown": "compensate"},
        {"compensable": False}, {"pivot": "mail"}, {"pivot": None}, {"after": ["flight"]}, {"input": str},
        {"input": LongTrip},
    ],
)  # fmt: skip
def test_another_meaning_has_another_fingerprint(changed: dict[str, Any]) -> None:
    """Sagas that run would go by other rules than they started with."""
    assert _with(**changed).definition.fingerprint != _with().definition.fingerprint


@pytest.mark.parametrize("same", [{"input": Journey}, {"timeout": 10}, {"timeout": None}])
def test_the_same_meaning_has_the_same_fingerprint(same: dict[str, Any]) -> None:
    """Whatever its types are called, and however they and the waits are described."""
    assert _with(**same).definition.fingerprint == _with().definition.fingerprint


class Leaf(msgspec.Struct, tag=True):
    """One of a union."""

    title: str


class Twig(msgspec.Struct, tag=True):
    """The other one, which may have more of them."""

    description: str
    more: list[Leaf | Twig] = []


def _renamed() -> Any:
    """The same types under other names, without docstrings."""
    leaf = msgspec.defstruct("Blatt", [("title", str)], tag="Leaf", namespace={"__doc__": None})
    space = {"Zweig": None, "Blatt": leaf}
    twig = msgspec.defstruct(
        "Zweig", [("description", str), ("more", "list[Blatt | Zweig]", [])], tag="Twig", module=__name__
    )
    globals().update(space | {"Zweig": twig})
    return list[leaf | twig]  # type: ignore[valid-type]


def test_the_schema_of_a_fingerprint_has_what_json_has_and_no_more() -> None:
    """Unions, types that contain themselves, and fields that are called like documentation."""
    same, named = _with(input=list[Leaf | Twig]).definition, _with(input=_renamed()).definition
    assert same.fingerprint == named.fingerprint

    titled = msgspec.defstruct("Leaf", [("subtitle", str)], tag="Leaf")
    assert _with(input=Leaf).definition.fingerprint != _with(input=titled).definition.fingerprint


def test_an_input_is_canonical_json_that_fits_its_type() -> None:
    """The same input written twice is the same bytes; what does not fit names the field."""
    definition = saga("flight").definition

    assert definition.write_input({"nights": 2, "trip_id": "t"}) == definition.write_input(Trip("t", 2))
    with pytest.raises(InvalidInput, match=r"'book_trip' version 1 does not fit: .*nights"):
        definition.write_input({"trip_id": "t", "nights": "two"})


def test_an_unknown_step_is_named_with_those_there_are() -> None:
    """Asking for a step that is not there says what is."""
    with pytest.raises(DefinitionError, match=r"no step 'visa': its steps are \['flight'\]"):
        saga("flight").definition.step("visa")
