"""PURE: the records of `order-status` as `restore` takes them: an order once in a page, in the topic's order."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from creditstream.operations.dead_letter import Fetched
from schemas.status import Told, told_by


def pages(records: Iterable[Fetched]) -> list[dict[UUID, Told]]:
    """An order's second record is on the second page, and so on."""
    made: list[dict[UUID, Told]] = []
    count: Counter[UUID] = Counter()
    for record in records:
        found = told_by(record.key, record.value, record.timestamp)
        if found is None:
            continue
        order_id, told = found
        if count[order_id] == len(made):
            made.append({})
        made[count[order_id]][order_id] = told
        count[order_id] += 1
    return made
