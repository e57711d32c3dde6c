"""A model of PostgreSQL at the border that `creditstream.store` asks through: a statement's name in, a value out.

The statements are modelled one by one, with what two workers notice of each other: a claim waits for a claim of the
same id, a settling for the lock, each sees what was committed before it went on. tests/contracts holds it to the real.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from typing import Any, NamedTuple, Self

from creditstream.errors import StoreUnavailable, StoreUseless
from tests.simulation.months import Months, month_of
from tests.simulation.rows import Keys, Row, Rows, Tables, claim, settle, told

_STATEMENT_TIMEOUT = 10.0
_Statement = Callable[[Tables, list[Row], frozenset[str]], list[Row]]


#: Statements that ask whether all is there that should be.
_REQUIRING = ("claim_orders", "settle_orders", "find_committed", "check_commits")


def ids_of(array: str) -> list[str]:
    return array.strip("{}").split(",")


class Trouble(NamedTuple):
    """How often a statement's connection breaks before it was run, and after, when it has been committed."""

    before: float = 0.0
    after: float = 0.0


class Server:
    """The rows, and whoever holds a lock on an id."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: random.Random) -> None:
        self.loop, self.chance = loop, chance
        self.rows: Rows = {}
        self.keys: Keys = {}
        self.months, self.trouble = Months(), Trouble()
        #: None: it answers. Else why not: "away" (connections break) or "read-only".
        self.fault: str | None = None
        self.slowest = 0.02
        self._locks: dict[str, asyncio.Lock] = {}
        #: How many wait for a lock that somebody else holds.
        self.waiting = 0
        self._wanted: Counter[str] = Counter()
        self._next: str | None = None
        self._running: set[asyncio.Task[Any]] = set()
        #: Statements that others than workers run, by name.
        self.others: dict[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {}
        #: Of a month: whether its rows may be seen again, and whether it is on its way out and none is to be made now.
        self.may_come_back: Callable[[str], bool] = lambda _month: False
        self.goes: Callable[[str], bool] = lambda month: month in self.months.pending
        #: Of a month: when it was dropped, and its ids may be gone with it since.
        self.dropped_at: Callable[[str], str | None] = lambda _month: None
        #: Months that were dropped, and since when they are gone at least.
        self.gone_since: Callable[[], dict[str, str]] = dict
        #: Told of every change as it is committed: each order's row and key before.
        self.on_change: Callable[[dict[str, tuple[Row | None, Row | None]]], None] = lambda _before: None
        #: Raises when commits are missing that the statement names.
        self.require: Callable[[Mapping[str, Any]], None] = lambda _given: None
        #: One more whenever all sessions end.
        self.epoch = 0
        #: Told of every row that a statement has written: before (None: there was none) and after.
        self.on_write: Callable[[Row | None, Row], None] = lambda _before, _after: None

    def lose_next(self, what: str) -> None:
        """The next "request", which is not run then, or "answer", and its connection."""
        self._next = what

    async def run(self, name: str, given: Mapping[str, Any]) -> Any:
        """As the client sees it. What was sent is run, whatever becomes of the client."""
        task = Context().run(self.loop.create_task, self._run(name, given))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _run(self, name: str, given: Mapping[str, Any]) -> Any:
        await self._travel()
        self._may_break("request", self.trouble.before)
        if self.fault == "away":
            raise StoreUnavailable("PostgreSQL: OperationalError: the connection broke")
        if self.fault == "read-only" and name != "check":
            raise StoreUseless("PostgreSQL: it is read-only")
        value = await self._statement(name, given)
        self._may_break("answer", self.trouble.after)
        await self._travel()
        if self.fault == "away":
            raise StoreUnavailable("PostgreSQL: OperationalError: the connection broke")
        return value

    async def _travel(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.000_2, self.slowest / 4))

    def _may_break(self, what: str, share: float) -> None:
        is_next = self._next == what
        if is_next:
            self._next = None
        if is_next or (share and self.chance.random() < share):
            raise StoreUnavailable("PostgreSQL: OperationalError: the connection broke")

    async def _statement(self, name: str, given: Mapping[str, Any]) -> Any:
        if name in self.others:
            return await self.others[name](given)
        if name not in ("claim_orders", "settle_orders"):
            return self.write(name, given)
        ids = [each["order_id"] for each in json.loads(given["batch"])]
        try:
            async with asyncio.timeout(_STATEMENT_TIMEOUT), AsyncExitStack() as opened:
                if name == "settle_orders":  # its first statement locks, and each sees anew
                    await opened.enter_async_context(self.locked(ids))
                hidden = await opened.enter_async_context(self.months.used())
                if name == "claim_orders":
                    await opened.enter_async_context(self.locked(ids))
                await asyncio.sleep(self.chance.uniform(0.000_5, self.slowest))
                return self.write(name, given, hidden)
        except TimeoutError:
            raise StoreUnavailable("PostgreSQL: the statement took too long") from None

    def write(self, name: str, given: Mapping[str, Any], hidden: frozenset[str] | None = None) -> Any:
        """What the named statement does and gives, all of it or nothing. Its locks are held by whoever calls.

        `hidden`: months that it does not see; None: as one that begins now.
        """
        unseen = frozenset(self.months.pending) if hidden is None else hidden
        if name in _REQUIRING:
            self.require(given)
        match name:
            case "claim_orders":
                return told(self._watched(claim, given, unseen))
            case "settle_orders":
                return told(self._watched(settle, given, unseen))
            case "find_committed":
                return json.dumps(self._found(ids_of(given["ids"])))
            case "orders_without_month":
                return json.dumps(self._without_month(ids_of(given["ids"]), ids_of(given["times"])))
            case "make_month":
                return self.months.make(given["month"][:7])
            case "check" | "check_primary" | "check_commits":
                return None
            case "months_ahead":
                return 3
        return 0

    def _found(self, ids: list[str]) -> dict[str, Any]:
        rows = self.months.visible(self.rows)
        unseen = [each for each in ids if each in self.keys and each not in rows]
        is_open = [each for each in unseen if self.may_come_back(month_of(self.keys[each]))]
        removed = [each for each in unseen if each not in is_open]
        return {"rows": [rows[each] for each in ids if each in rows], "removed": removed, "open": is_open}

    def _without_month(self, ids: list[str], times: list[str]) -> list[dict[str, Any]]:
        months = {order_id: month_of({"created_at": time}) for order_id, time in zip(ids, times, strict=True)}
        new = [each for each in ids if each not in self.keys and not self.months.takes(months[each])]
        first = {each: f"{months[each]}-01T00:00:00Z" for each in new}
        return [{"order_id": each, "month": first[each], "goes": self.goes(months[each])} for each in new]

    def _watched(self, statement: _Statement, given: Mapping[str, Any], hidden: frozenset[str]) -> list[Row]:
        batch = json.loads(given["batch"])
        before = {each["order_id"]: self.rows.get(each["order_id"]) for each in batch}
        keys = {order_id: self.keys.get(order_id) for order_id in before}
        answer = statement(self, batch, hidden)
        changed = [order_id for order_id, old in before.items() if self.rows.get(order_id) is not old]
        if changed:
            self.on_change({order_id: (before[order_id], keys[order_id]) for order_id in changed})
        for order_id, old in before.items():
            row = self.rows.get(order_id)
            if row is not None and row is not old:
                self.on_write(old, row)
        return answer

    def locked_ids(self) -> set[str]:
        """Ids that somebody has locked."""
        return {order_id for order_id, lock in self._locks.items() if lock.locked()}

    @asynccontextmanager
    async def locked(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """The ids' locks in order, as the statements take them."""
        async with AsyncExitStack() as held:
            for order_id in sorted(ids):
                await held.enter_async_context(self._lock(order_id))
            yield

    @asynccontextmanager
    async def _lock(self, order_id: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(order_id, asyncio.Lock())
        self._wanted[order_id] += 1
        self.waiting += 1
        try:
            await lock.acquire()
        finally:
            self.waiting -= 1
            self._wanted[order_id] -= 1
        try:
            yield
        finally:
            lock.release()
            if not self._wanted[order_id]:
                del self._wanted[order_id], self._locks[order_id]


class Database:
    """In place of `creditstream.store.database.Database`, for one worker."""

    server: Server

    def __init__(self) -> None:
        self._is_closed = False

    @classmethod
    async def open(cls, *_dsn: object, **_options: object) -> Self:
        database = cls()
        await database.value("check")
        return database

    async def value(self, name: str, parameters: Mapping[str, object] | None = None, *, blames: bool = True) -> Any:
        if self._is_closed:
            raise StoreUnavailable("PostgreSQL: this worker has closed its connections")
        return await self.server.run(name, parameters or {})

    async def require(self, name: str) -> None:
        wrong = await self.value(name)
        if wrong is not None:
            raise StoreUseless(f"PostgreSQL {wrong}")

    def drop(self) -> None: ...

    async def close(self) -> None:
        self._is_closed = True
