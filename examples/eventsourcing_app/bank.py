"""A bank as an application of the `eventsourcing` library. Nothing in it knows of a ledger.

The stored names of its events begin with the name of this module (`bank:Account.Opened`), so that a program imports it
and does not run it.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event


class Account(Aggregate):
    """The account of an owner, in pence."""

    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance_minor = 0

    @staticmethod
    def create_id(owner: str) -> UUID:
        """The id that an owner's account has."""
        return uuid5(NAMESPACE_URL, f"/accounts/{owner}")

    @event("Deposited")
    def deposit(self, amount_minor: int) -> None:
        self.balance_minor += amount_minor

    @event("Withdrawn")
    def withdraw(self, amount_minor: int) -> None:
        if amount_minor > self.balance_minor:
            raise ValueError(f"{self.owner} has {self.balance_minor} only")
        self.balance_minor -= amount_minor


class Letter(Aggregate):
    """A letter that was sent; its id is the idempotency key of what sent it."""

    @event("Sent")
    def __init__(self, key: str, text: str) -> None:
        self.text = text

    @staticmethod
    def create_id(key: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/letters/{key}")


class Bank(Application):
    """Accounts and letters."""

    snapshotting_intervals: ClassVar[dict[type[Any], int]] = {Account: 50}

    def pay_in(self, owner: str, amount_minor: int) -> None:
        try:
            account: Account = self.repository.get(Account.create_id(owner))
        except AggregateNotFoundError:
            account = Account(owner)
        account.deposit(amount_minor)
        self.save(account)

    def send_letter(self, key: str, text: str) -> None:
        """Sends a letter once for each key, however often it is asked to."""
        try:
            self.repository.get(Letter.create_id(key))
        except AggregateNotFoundError:
            self.save(Letter(key, text))
