"""What `definitions` tells of the steps of a saga."""

from __future__ import annotations

from sagaledger.domain.saga.saga import Saga
from sagaledger.infrastructure.cli.commands.definitions import marked
from sagaledger.infrastructure.ledger.definition_documents import structure_document


def test_each_kind_of_step_can_be_told_from_the_others() -> None:
    """A list, a condition, a pivot, and what a step waits for."""
    trip, visit = Saga("trip", input=int), Saga("visit", input=int)
    trip.for_each(items=lambda *_: [], name="book", parallel=3, on_failure="collect", compensable=False)(lambda *_: 1)
    trip.step(name="wrap", when=lambda *_: True, compensable=False)(lambda *_: None)
    trip.wait_for("yes", signal="approval", when=lambda *_: True)
    trip.sub_saga(visit, name="see", compensable=False)(lambda *_: 1)
    trip.step(name="pay", pivot=True)(lambda *_: None)

    definition = trip.definition
    documents = {each.pop("step"): each for each in structure_document(definition)["steps"]}

    assert [*map(marked, definition.steps)] == ["book[]", "wrap?", "yes?", "see", "pay*"]
    told = ("waits_for", "conditional", "parallel", "collect", "signal", "saga", "pivot")
    assert {name: {key: each[key] for key in told if each.get(key)} for name, each in documents.items()} == {
        "book": {"waits_for": "items", "parallel": 3, "collect": True},
        "wrap": {"conditional": True},
        "yes": {"waits_for": "signal", "conditional": True, "signal": "approval"},
        "see": {"waits_for": "saga", "saga": "visit"},
        "pay": {"pivot": True},
    }
