"""What changed between the recorded structure of a definition and the present one, and whether its sagas can go on.

A change is *additive* if the present definition decides the same for every saga that runs, and can read all that they
recorded: a new field of the input or of a result that may be absent. Any other change is *breaking*. A key of a step
that is not known here is breaking if it differs, so that a new kind of step cannot slip through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from .schema_changes import StructuralDifference, schema_differences

_KNOWN_OF_STEP: Final = frozenset(
    {
        *("step", "after", "pivot", "compensated", "local", "waits_for", "signal", "saga", "result", "on_unknown"),
        *("conditional", "collect", "item"),
    }
)
_KNOWN: Final = frozenset({"scheme", "saga", "version", "steps", "input"})

StepStructure = Mapping[str, Any]


def differences(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> list[StructuralDifference]:
    """Returns how the present structure differs from a recorded one; both as read from JSON."""
    if recorded == present:
        return []
    found = list(_of_steps(_by_name(recorded), _by_name(present)))
    found += schema_differences(recorded.get("input"), present.get("input"), "the input")
    found += _of_other_keys("the saga", recorded, present, _KNOWN)
    return found


def breaking(found: list[StructuralDifference]) -> list[StructuralDifference]:
    """Returns the differences with which sagas that run cannot go on."""
    return [difference for difference in found if difference.is_breaking]


def _by_name(structure: Mapping[str, Any]) -> dict[str, StepStructure]:
    return {step["step"]: step for step in structure.get("steps", ())}


def _of_steps(
    recorded: Mapping[str, StepStructure], present: Mapping[str, StepStructure]
) -> Iterator[StructuralDifference]:
    for name in recorded:
        if name not in present:
            yield _breaking(name, "was removed")
    for name in present:
        if name not in recorded:
            yield _breaking(name, "was added")
    yield from _of_order(recorded, present)
    before, now = _pivot(recorded), _pivot(present)
    if before != now:
        change = "is the pivot now" if before is None else "is not the pivot any more"
        if before is not None and now is not None:
            yield StructuralDifference("the pivot", f"moved from step {before!r} to step {now!r}", is_breaking=True)
        else:
            yield _breaking(before or now or "", change)
    for name, step in present.items():
        if name in recorded:
            yield from _of_step(name, recorded[name], step)


def _of_order(
    recorded: Mapping[str, StepStructure], present: Mapping[str, StepStructure]
) -> Iterator[StructuralDifference]:
    """Compare the order of the steps that both have; what is only due to other steps is not said again."""
    before = [name for name in recorded if name in present]
    now = [name for name in present if name in recorded]
    if before != now:
        yield StructuralDifference("the steps", f"were reordered: {now} instead of {before}", is_breaking=True)
        return
    for name in now:
        was_after, is_after = recorded[name].get("after", []), present[name].get("after", [])
        both = {*was_after, *is_after}
        if was_after != is_after and both <= recorded.keys() & present.keys():
            yield _breaking(name, f"comes after {is_after} instead of {was_after}")


def _pivot(steps: Mapping[str, StepStructure]) -> str | None:
    return next((name for name, step in steps.items() if step.get("pivot")), None)


def _of_step(name: str, recorded: StepStructure, present: StepStructure) -> Iterator[StructuralDifference]:
    if _kind(recorded) != _kind(present):
        yield _breaking(name, f"is {_kind(present)} instead of {_kind(recorded)}")
        return
    for key, what in (("signal", "signal"), ("saga", "saga")):
        if recorded.get(key) != present.get(key):
            yield _breaking(name, f"waits for {what} {present.get(key)!r} instead of {recorded.get(key)!r}")
    if recorded.get("compensated") != present.get("compensated"):
        yield _breaking(
            name, "has a compensation now" if present.get("compensated") else "has no compensation any more"
        )
    if recorded.get("on_unknown") != present.get("on_unknown"):
        yield _breaking(name, f"has on_unknown={present.get('on_unknown')!r} instead of {recorded.get('on_unknown')!r}")
    if recorded.get("conditional") != present.get("conditional"):
        yield _breaking(name, "has a condition now" if present.get("conditional") else "has no condition any more")
    if recorded.get("collect") != present.get("collect"):
        yield _breaking(name, f"{'goes on' if present.get('collect') else 'fails'} now if an item fails")
    if "item" in recorded or "item" in present:
        yield from schema_differences(recorded.get("item"), present.get("item"), f"each item of step {name!r}")
    yield from schema_differences(recorded.get("result"), present.get("result"), f"the result of step {name!r}")
    yield from _of_other_keys(f"step {name!r}", recorded, present, _KNOWN_OF_STEP)


def _kind(step: StepStructure) -> str:
    if step.get("local"):
        return "a local step"
    match step.get("waits_for"):
        case None:
            return "a call"
        case "timer":
            return "a timer"
        case "signal":
            return "a wait for a signal"
        case "saga":
            return "a sub-saga"
        case "items":
            return "a step over a list"
        case other:
            return f"a wait for {other!r}"


def _of_other_keys(
    place: str, recorded: Mapping[str, Any], present: Mapping[str, Any], known: frozenset[str]
) -> Iterator[StructuralDifference]:
    for key in sorted((recorded.keys() | present.keys()) - known):
        if key not in recorded:
            yield StructuralDifference(place, f"has {key} {_shown(present[key])} now", is_breaking=True)
        elif key not in present:
            yield StructuralDifference(place, f"has no {key} any more", is_breaking=True)
        elif recorded[key] != present[key]:
            change = f"has {key} {_shown(present[key])} instead of {_shown(recorded[key])}"
            yield StructuralDifference(place, change, is_breaking=True)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:59]}…"


def _breaking(step: str, change: str) -> StructuralDifference:
    return StructuralDifference(f"step {step!r}", change, is_breaking=True)
