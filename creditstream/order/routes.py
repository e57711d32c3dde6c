"""Where records go: the topics' names on the broker."""

from typing import NamedTuple


class Routes(NamedTuple):
    """How many partitions each topic has, and the topics' names on the broker."""

    partitions: int
    orders_by_id: str
    order_status: str
    orders_retry: str
    orders_dead_letter: str
    seen_changelog: str
