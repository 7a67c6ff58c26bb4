"""Declined payments: which orders have one, from a seed and the order's id alone.

Nothing else decides it, so a run has the same outcomes in any interleaving, on any backend, after any restart.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from hashlib import sha256

from msgspec.structs import replace

from ....domain.shop import DECLINED_CARD, Order, Return
from .errors import OrderFileError


def decline_rate(text: str) -> Decimal:
    """Read a rate from 0 to 1. Raises `OrderFileError` for anything else."""
    try:
        rate = Decimal(text)
    except InvalidOperation as error:
        raise OrderFileError(
            f"decline rate {text!r} is not a number: give a fraction from 0 to 1, such as 0.1"
        ) from error
    if not (rate.is_finite() and 0 <= rate <= 1):
        raise OrderFileError(f"decline rate {text} is out of range: give a fraction from 0 to 1, such as 0.1")
    return rate


def shortest(rate: Decimal) -> str:
    """Return a rate in its shortest form, the same for equal rates: 0.1 for 0.10."""
    return f"{abs(rate).normalize():f}"


def is_declined(order_id: str, *, seed: int, rate: Decimal) -> bool:
    """Whether the payment of an order is declined: it is for a share `rate` of all order ids."""
    drawn = int.from_bytes(sha256(f"{seed}:{order_id}".encode()).digest()[:8])
    return drawn < int(rate * 2**64)


def with_payment_method(order: Order, *, seed: int, rate: Decimal) -> Order:
    """Return the order with a card that is declined if its payment is to be declined."""
    return replace(order, payment_method=DECLINED_CARD) if is_declined(order.order_id, seed=seed, rate=rate) else order


def as_placed(invoice: Order | Return, *, seed: int, rate: Decimal) -> Order | Return:
    """Return an invoice as it is placed: an order with its payment method, a return as it is."""
    return invoice if isinstance(invoice, Return) else with_payment_method(invoice, seed=seed, rate=rate)
