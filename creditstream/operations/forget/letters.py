"""Dead letters without a customer's data. A topic cannot be edited: its beginning is written again, then removed."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection
from uuid import UUID

from aiokafka.structs import TopicPartition

from creditstream.kafka.admin import Cluster
from creditstream.kafka.topic_reader import Topics
from creditstream.operations.dead_letter import Fetched, read_letter
from creditstream.order.ports import Outgoing, Publishes
from schemas.headers import FORGOTTEN_BY, LETTER, ORIGINAL_KEY

Concerns = Callable[[Fetched], bool]
Advance = Callable[[int], None]


def concerning(customer: str, order_ids: Collection[UUID]) -> Concerns:
    """Whether a letter is about the customer by any of its parts, also one that is no JSON, or names an order only."""
    plain = customer.encode()
    word = re.compile(rb"(?<![\w-])" + re.escape(plain) + rb"(?![\w-])")  # slow: asked where the plain text is alone
    is_word = any(map(str.isalnum, customer))  # of blanks or signs alone: every JSON text would hold it

    def concerns(record: Fetched) -> bool:
        letter = read_letter(record)
        if letter.order_id in order_ids or (letter.fields or {}).get("customer_id") == customer:
            return True
        parts = (letter.key, letter.value, *(value for _, value in letter.headers))
        return is_word and any(plain in part and word.search(part) for part in parts if part)

    return concerns


def blanked(record: Fetched, request: UUID) -> Outgoing:
    """Origin, reason and times stay, so that the record it is about still has its letter; nothing of the producer's."""
    kept = tuple(header for header in record.headers if header[0] in LETTER and header[0] != ORIGINAL_KEY)
    return Outgoing(None, None, (*kept, (FORGOTTEN_BY, str(request).encode())))


async def last_ones(topics: Topics, name: str, concerns: Concerns, advance: Advance) -> tuple[dict[int, int], int]:
    """Each partition's last offset with a letter that is meant, and how many there are."""
    last: dict[int, int] = {}
    found = 0
    async for records in topics.read(name):
        for record in records:
            if concerns(record):
                last[record.partition] = max(record.offset, last.get(record.partition, 0))
                found += 1
        advance(len(records))
    return last, found


async def blank(
    topics: Topics, name: str, last: dict[int, int], concerns: Concerns, request: UUID, to: tuple[Publishes, Cluster]
) -> None:
    """Append all letters up to the last ones again, those that are meant without content; then remove what was copied.

    Broken off, some stand there twice: a letter is counted once by its origin.
    """
    publisher, cluster = to
    async for records in topics.read(name):
        copies: dict[int, list[Outgoing]] = defaultdict(list)
        for record in records:
            if record.offset <= last.get(record.partition, -1):
                whole = Outgoing(record.key, record.value, tuple(record.headers))
                copies[record.partition].append(blanked(record, request) if concerns(record) else whole)
        if copies:
            await publisher.publish(name, copies)
    if last:
        ends = {TopicPartition(name, partition): offset + 1 for partition, offset in last.items()}
        await cluster.delete_before(ends, "delete")
