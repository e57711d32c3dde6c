"""PURE: connections that wait for their client: for how long they may, and which goes first when places are short."""

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Wait(Enum):
    """What is waited for."""

    HEAD = "a request's head, of which something or nothing has come"
    BODY = "the rest of a request's body"
    READER = "that an answer is read"
    IDLE = "the next request"


#: Seconds. An idle connection outlasts the minute after which proxies let go of theirs.
LIMITS = {Wait.HEAD: 10.0, Wait.BODY: 10.0, Wait.READER: 30.0, Wait.IDLE: 75.0}
_AT_ONCE = 1.0
"""A client that means it has sent its request's head within so many seconds of connecting."""


class Waiting(Generic[K]):
    """Each kind has one limit, so that the first of its queue is always the next to be overdue. Times of any clock."""

    def __init__(self) -> None:
        self._since: dict[Wait, OrderedDict[K, float]] = {wait: OrderedDict() for wait in Wait}
        self._waits: dict[K, Wait] = {}

    def note(self, connection: K, wait: Wait | None, now: float) -> None:
        """What it waits for from now on; None: nothing, its client waits for us. The same again changes nothing."""
        before = self._waits.get(connection)
        if before is wait:
            return
        self.forget(connection)
        if wait is not None:
            self._waits[connection] = wait
            self._since[wait][connection] = now

    def forget(self, connection: K) -> None:
        """It is closed."""
        before = self._waits.pop(connection, None)
        if before is not None:
            del self._since[before][connection]

    def all(self) -> list[Wait]:
        """What each of them waits for."""
        return list(self._waits.values())

    def overdue(self, now: float) -> list[K]:
        """Those that have waited longer than they may."""
        found = []
        for wait, queue in self._since.items():
            for connection, since in queue.items():
                if now - since < LIMITS[wait]:
                    break
                found.append(connection)
        return found

    def dispensable(self, now: float) -> K | None:
        """The one that gives its place to a newcomer. None: all are being served.

        Half a head goes first, unless it came just now; for a newcomer is one of those itself a moment later.
        """
        heads, idle = self._since[Wait.HEAD], self._since[Wait.IDLE]
        if heads:
            oldest, since = next(iter(heads.items()))
            if now - since >= _AT_ONCE or not idle:
                return oldest
        for queue in (idle, self._since[Wait.BODY], self._since[Wait.READER]):
            if queue:
                return next(iter(queue))
        return None
