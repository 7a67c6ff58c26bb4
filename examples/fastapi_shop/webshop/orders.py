"""The shop's own tables, which no saga writes to: what was ordered, by whom, and which saga fulfils it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from .fulfilment import OrderedLine, PlacedOrder


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    """An order. Its status is that of its saga, and is not kept twice."""

    __tablename__ = "webshop_orders"

    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    card: Mapped[str]
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    saga_id: Mapped[str | None]
    """The saga that was asked for; None, on SQLite only, for as long as none was."""
    lines: Mapped[list[OrderLine]] = relationship(cascade="all, delete-orphan", lazy="selectin")

    def as_input(self) -> PlacedOrder:
        """The input of the saga: what its steps need, and nothing else."""
        lines = [OrderedLine(line.sku, line.quantity, line.price_minor) for line in self.lines]
        return PlacedOrder(self.order_id, self.customer, self.card, lines)


class OrderLine(Base):
    """So many pieces of one article, at a price for each in pence."""

    __tablename__ = "webshop_order_lines"

    order_id: Mapped[str] = mapped_column(ForeignKey(Order.order_id), primary_key=True)
    sku: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    price_minor: Mapped[int]
