"""The meaning of errors: one table, from which the command line takes its exit codes."""

from __future__ import annotations

import pytest

from sagaledger.domain.errors import CorruptEvent, SagaledgerError, UnknownEvent
from sagaledger.domain.participant import Refused
from sagaledger.infrastructure import errors
from sagaledger.infrastructure.cli.exit_codes import ExitCode, exit_code_of
from sagaledger.infrastructure.cli.usage import UsageError
from sagaledger.infrastructure.ledger.error_categories import CATEGORIES, ErrorCategory, category_of
from sagaledger.infrastructure.shop.order_import import OrderFileError

LEAVES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, SagaledgerError) and value is not SagaledgerError
]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_error_of_the_edge_is_in_the_table(leaf: type[SagaledgerError]) -> None:
    """By itself, not by a base class that means something else."""
    assert leaf in CATEGORIES


@pytest.mark.parametrize("category", ErrorCategory)
def test_every_category_has_an_exit_code(category: ErrorCategory) -> None:
    """Of the same name."""
    assert category.name in ExitCode.__members__


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), ExitCode.USAGE),
        (OrderFileError("x"), ExitCode.USAGE),
        (errors.AppPartMissing("x", "y"), ExitCode.USAGE),
        (errors.SagaNotFound("x"), ExitCode.NOT_FOUND),
        (Refused("x"), ExitCode.CONFLICT),
        (UnknownEvent("x", 1, "y"), ExitCode.UNAVAILABLE),
        (CorruptEvent("x", "y"), ExitCode.VERIFICATION_FAILED),
        (SagaledgerError("x"), ExitCode.FAILED),
    ],
)
def test_an_error_has_the_exit_code_of_its_category(error: SagaledgerError, code: ExitCode) -> None:
    """A class that is not in the table has the category of its nearest base class."""
    assert exit_code_of(error) is code
    assert category_of(error).name == code.name
