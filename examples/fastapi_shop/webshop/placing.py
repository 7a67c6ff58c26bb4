"""Placing an order: its rows and its saga are written together, or neither is."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from sagaledger import Ledger

from .fulfilment import fulfil
from .orders import Order


class Orders:
    """Writes orders into the shop's tables, and asks for their sagas."""

    def __init__(self, ledger: Ledger, sessions: sessionmaker[Session], *, shares_transactions: bool) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self._shares_transactions = shares_transactions

    def place(self, order: Order, actor: str) -> str:
        """Write an order; returns the id of its saga.

        On PostgreSQL `start_in` asks for the saga in the transaction of the order. A SQLite ledger cannot share a
        transaction: the order is committed first, and a crash before its saga is mended by `start_missing`.
        """
        with self._sessions() as session, session.begin():
            session.add(order)
            session.flush()
            if self._shares_transactions:
                order.saga_id = self._ledger.start_in(session, fulfil, order.as_input(), actor=actor)
                return order.saga_id
        return self._start(order.order_id, actor)

    def start_missing(self) -> int:
        """Start the sagas of orders that were committed without one; returns how many there were."""
        with self._sessions() as session:
            missing = session.scalars(select(Order.order_id).where(Order.saga_id.is_(None))).all()
        for order_id in missing:
            self._start(order_id, "start_missing")
        return len(missing)

    def find(self, order_id: str) -> Order | None:
        """Return an order with its lines."""
        with self._sessions() as session:
            return session.get(Order, order_id)

    def _start(self, order_id: str, actor: str) -> str:
        """Start the saga of an order. Its key makes a second start the same saga."""
        with self._sessions() as session, session.begin():
            order = session.get_one(Order, order_id)
            order.saga_id = self._ledger.start(fulfil, order.as_input(), actor=actor).saga_id
            return order.saga_id
