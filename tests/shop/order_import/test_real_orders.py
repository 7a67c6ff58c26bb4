"""The real orders: the slice that comes with the package, and the whole file where it is at hand."""

from __future__ import annotations

import gzip
import hashlib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from sagaledger.domain.shop import Order, fulfil_order, import_key, return_goods
from sagaledger.infrastructure.shop.order_import import (
    SLICE,
    decline_rate,
    is_declined,
    opening_stock,
    read_file,
    shortest,
    with_payment_method,
)

WHOLE = Path(__file__).parents[3] / "shared" / "data" / "online_retail_2010-12-01_to_09.csv.gz"


def test_every_line_of_the_slice_is_accounted_for() -> None:
    """The slice holds orders, returns and one line that is neither."""
    intake = read_file(SLICE)
    assert (intake.lines_in, intake.lines_in_orders, intake.lines_in_returns, intake.lines_rejected) == (
        558,
        531,
        26,
        1,
    )
    assert (len(intake.orders), len(intake.returns)) == (94, 6)
    assert intake.sha256 == hashlib.sha256(SLICE.read_bytes()).hexdigest()
    (reject,) = intake.rejects
    assert (reject.line, reject.reason) == (518, "Quantity -10 is not above zero outside a return")


def test_the_first_order_is_read_as_it_stands() -> None:
    """Amounts are quantity times price in pence; the customer, the country and the time are the invoice's."""
    order = read_file(SLICE).orders[0]
    assert (order.order_id, order.customer_id, order.country, order.currency) == (
        *("536365", "17850", "United Kingdom", "GBP"),
    )
    assert order.placed_at.isoformat() == "2010-12-01T08:26:00+00:00"
    assert [(line.sku, line.quantity, line.amount_minor) for line in order.lines][:2] == [
        ("85123A", 6, 1530),
        ("71053", 6, 2034),
    ]
    assert order.total_minor == 13912


def test_compressing_a_file_does_not_change_what_it_is(tmp_path) -> None:
    """The digest is that of the content, so the same file compressed is the same intake."""
    packed = tmp_path / "slice.csv.gz"
    packed.write_bytes(gzip.compress(SLICE.read_bytes()))
    plain, again = read_file(SLICE), read_file(packed)
    assert (plain.sha256, plain.invoices, plain.rejects) == (again.sha256, again.invoices, again.rejects)


def test_every_invoice_fits_its_saga() -> None:
    """An invoice goes through JSON and the saga's own input type unchanged."""
    for invoice in read_file(SLICE).invoices:
        definition = (fulfil_order if isinstance(invoice, Order) else return_goods).definition
        assert definition.read_input(definition.write_input(invoice)) == invoice


def test_the_default_opening_stock_is_what_the_orders_want() -> None:
    """Each article opens with the pieces that all orders want together, named by the file they are for."""
    intake = read_file(SLICE)
    wanted: dict[str, int] = defaultdict(int)
    for order in intake.orders:
        for line in order.lines:
            wanted[line.sku] += line.quantity
    commands = opening_stock(intake, None)
    assert {command.sku: command.quantity for command in commands} == wanted
    assert {command.source for command in commands} == {import_key(intake.sha256)}


def test_a_given_opening_stock_is_that_of_every_article() -> None:
    """Asked for 5 pieces, each article of the file opens with 5, those that only came back too; asked for 0, none."""
    intake = read_file(SLICE)
    assert {command.quantity for command in opening_stock(intake, 5)} == {5}
    assert {command.sku for command in opening_stock(intake, 5)} == set(intake.demand)
    assert opening_stock(intake, 0) == []


def test_declines_depend_on_the_seed_and_the_order_alone() -> None:
    """The same seed declines the same orders: none at rate 0, all at 1, fewer of the same at a lower rate."""
    ids = [str(number) for number in range(2_000)]

    def declined(seed: int, rate: str) -> set[str]:
        return {id_ for id_ in ids if is_declined(id_, seed=seed, rate=decline_rate(rate))}

    assert declined(7, "0") == set()
    assert declined(7, "1") == set(ids)
    assert declined(7, "0.1") == declined(7, "0.10") < declined(7, "0.2")
    assert declined(7, "0.1") != declined(8, "0.1")
    assert 140 < len(declined(7, "0.1")) < 260
    # one value is pinned: another draw would change the outcome of every recorded run
    assert sorted(declined(7, "0.002")) == ["1197", "1270", "203"]


def test_a_declined_order_is_placed_with_a_card_that_is_declined() -> None:
    """The draw enters the saga's input, so that nothing is drawn again later."""
    order = read_file(SLICE).orders[0]
    assert with_payment_method(order, seed=7, rate=Decimal(1)).payment_method == "declined_card"
    assert with_payment_method(order, seed=7, rate=Decimal(0)) == order


@pytest.mark.parametrize(
    ("given", "short"), [("0.10", "0.1"), ("1.000", "1"), ("0", "0"), ("-0", "0"), ("1e-3", "0.001")]
)
def test_equal_rates_are_equal_texts(given, short) -> None:
    """What is recorded of a rate does not depend on how it was typed."""
    assert shortest(decline_rate(given)) == short


@pytest.mark.skipif(not WHOLE.exists(), reason="the whole file is not beside this checkout")
def test_every_line_of_the_whole_file_is_accounted_for() -> None:
    """All nine days: 22,523 lines, 1,088 invoices of which 64 are only rejected lines, 136 returns."""
    intake = read_file(WHOLE)
    assert intake.lines_in == 22_523 == intake.lines_in_orders + intake.lines_in_returns + intake.lines_rejected
    assert (len(intake.orders), len(intake.returns), intake.lines_rejected) == (888, 136, 64)
    times = [invoice.placed_at if isinstance(invoice, Order) else invoice.requested_at for invoice in intake.invoices]
    assert times == sorted(times)
    assert max(len(msgspec.json.encode(invoice)) for invoice in intake.invoices) < 128 * 1024
