"""Faust's queues between the consumer and the streams, filled and emptied by the batch."""

from collections.abc import Sequence
from typing import Any

#: Records handed on, or taken, between two chances for the rest of the event loop.
MOST_AT_ONCE = 100


def room_of(queues: Sequence[Any]) -> int:
    """How many records each of them takes, or so many that it pays to ask again. Only our consumer puts any in."""
    return min((max(0, queue.maxsize - queue.qsize()) for queue in queues if queue.maxsize), default=MOST_AT_ONCE)


def waiting_events(stream: Any, most: int = MOST_AT_ONCE) -> list[Any]:
    """The events that wait in the stream's queue, at most so many, without a turn of the event loop for each.

    Faust's stream gives every event such a turn. What it checks for each event as well (its generation), ours checks.
    """
    queue = stream.channel.queue
    return [queue.get_nowait() for _ in range(min(most, queue.qsize()))]
