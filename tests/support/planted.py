"""Faults that an audit has to find, put where it looks."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from creditstream.order.home_partition import home_partition
from tests.support.database import Database
from tests.support.kafka import Topics

_INSERT = """
INSERT INTO orders (order_id, customer_id, amount, term_months, product, status, reason, created_at, updated_at,
    version, fingerprint)
VALUES (%s, 'c-1', 1500, 12, 'personal_loan', 'under_review', %s, %s, %s, 1, %s) RETURNING 1
"""


def plant_undecided(topics: Topics, database: Database, order_id: UUID, reason: str, then: datetime) -> None:
    """A row under review, with its status, and nothing else."""
    database.fetch("SELECT ensure_orders_partition(%s)", (then,))
    database.fetch(_INSERT, (str(order_id), reason, then, then, b"f" * 16))
    status = {
        "order_id": order_id,
        "customer_id": "c-1",
        "amount": Decimal("1500.00"),
        "term_months": 12,
        "product": "personal_loan",
        "status": "under_review",
        "score": None,
        "reason": reason,
        "model_version": None,
        "policy_version": None,
        "created_at": then,
        "updated_at": then,
        "version": 1,
    }
    record = (str(order_id).encode(), msgspec.json.encode(status))
    topics.produce("order-status", [record], partition=home_partition(order_id, topics.partitions))
