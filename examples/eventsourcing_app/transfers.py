"""Transfers between the accounts of a bank that lives in a ledger, beside the sagas that move its money.

    python examples/eventsourcing_app/transfers.py [URL]
    sagaledger query balances --app examples/eventsourcing_app/transfers.py:app --db URL

The first command opens two accounts and makes two transfers in the ledger at the URL (default: `sqlite:///bank.db`).
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
from bank import Account, Bank
from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from sagaledger import (
    AggregateParticipant,
    App,
    Command,
    Ledger,
    Projection,
    RecordedEvent,
    Refused,
    Row,
    Saga,
    StepContext,
    Worker,
)


def environment_of(url: str) -> dict[str, str]:
    """The environment in which the application uses the ledger at a URL."""
    return {
        "PERSISTENCE_MODULE": "sagaledger.infrastructure.eventsourcing.factory",
        "SAGALEDGER_DB": url,
        "IS_SNAPSHOTTING_ENABLED": "yes",
    }


class Withdraw(Command):
    owner: str
    amount_minor: int


class Deposit(Command):
    owner: str
    amount_minor: int


def decide(account: Account | None, command: Withdraw | Deposit) -> Account:
    """Lets an account do what a local step asks."""
    if account is None:
        raise Refused(f"{command.owner} has no account")
    try:
        if isinstance(command, Withdraw):
            account.withdraw(command.amount_minor)
        else:
            account.deposit(command.amount_minor)
    except ValueError as error:
        raise Refused(str(error)) from error
    return account


accounts = AggregateParticipant(
    Account,
    commands={
        Withdraw: lambda command: Account.create_id(command.owner),
        Deposit: lambda command: Account.create_id(command.owner),
    },
    decide=decide,
)

balances = Projection(
    "balances",
    version=1,
    table=Table(
        "balances",
        MetaData(),
        Column("account_id", Text, primary_key=True),
        Column("owner", Text, nullable=False),
        Column("balance_minor", BigInteger, nullable=False),
    ),
    initial=lambda account_id: {"account_id": account_id, "owner": "", "balance_minor": 0},
)


@balances.on(accounts.event_type(Account.Opened), key=lambda recorded: recorded.stream_id)
def opened(row: Row, event: Account.Opened, _: RecordedEvent) -> Row:
    return {**row, "owner": event.owner}


@balances.on(accounts.event_type(Account.Deposited), key=lambda recorded: recorded.stream_id)
def deposited(row: Row, event: Account.Deposited, _: RecordedEvent) -> Row:
    return {**row, "balance_minor": row["balance_minor"] + event.amount_minor}


@balances.on(accounts.event_type(Account.Withdrawn), key=lambda recorded: recorded.stream_id)
def withdrawn(row: Row, event: Account.Withdrawn, _: RecordedEvent) -> Row:
    return {**row, "balance_minor": row["balance_minor"] - event.amount_minor}


class Transfer(msgspec.Struct):
    transfer_id: str
    payer: str
    payee: str
    amount_minor: int


transfer = Saga("transfer", version=1, input=Transfer, key=lambda order: order.transfer_id)
bank: Bank | None = None  # opened by `main`


@transfer.local_step(compensable=False)
def move_money(order: Transfer, _: StepContext) -> list[Command]:
    """Exactly once: the events of both accounts and the step's success are one append."""
    return [Withdraw(order.payer, order.amount_minor), Deposit(order.payee, order.amount_minor)]


@transfer.step(compensable=False, timeout=10)
def tell_payer(order: Transfer, ctx: StepContext) -> None:
    """At least once, as every step that calls something: the letter's key keeps a second call from sending another."""
    assert bank is not None
    bank.send_letter(ctx.key, f"{order.payer}, you paid {order.payee} {order.amount_minor}")


app = App(sagas=[transfer], participants=[accounts], projections=[balances])


async def main(url: str) -> None:
    global bank
    with Ledger.open(url, app, create=True) as ledger, Bank(environment_of(url)) as bank:
        bank.pay_in("ann", 5_00)
        bank.pay_in("ben", 1_00)
        async with Worker(ledger) as worker:
            for order in Transfer("1", "ann", "ben", 2_00), Transfer("2", "ben", "ann", 9_00):
                started = await worker.start(transfer, order)
                state = await worker.outcome(started.saga_id)
                print(f"{state.saga_id}: {state.status}, cause: {state.cause}")
        ann: Account = bank.repository.get(Account.create_id("ann"))
        print(f"{ann.owner} has {ann.balance_minor}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///bank.db"))
