"""The model of PostgreSQL for operators' commands: one session with its advisory lock, and the statements they run."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from creditstream.errors import StartError, StoreUnavailable
from creditstream.store import maintenance as store
from schemas.decision import FOR_A_PERSON
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, Row
from tests.simulation.dropping import Dropping
from tests.simulation.postgres import Server
from tests.simulation.rows import Row as Held
from tests.simulation.rows import moment, told
from tests.simulation.taken_back import Losses

_FORGOTTEN = base64.b64encode(FORGOTTEN).decode()
_PAGE = 50


class Maintenance(store.Maintenance):
    """What `only_one` hands out: the product's own, over the model. As with a connection, all is over once it broke."""

    def __init__(self, server: Server, holder: str = "") -> None:
        super().__init__(self)  # type: ignore[arg-type]  # also what it runs changes of the schema with
        self._server, self._is_broken, self._epoch = server, False, server.epoch
        self._holder = holder

    async def value(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        if self._is_broken or self._epoch != self._server.epoch:
            raise StoreUnavailable("PostgreSQL: InterfaceError: the connection is closed")
        try:
            return await self._server.run(name, {**(parameters or {}), "holder": self._holder})
        except StoreUnavailable:
            self._is_broken = True
            raise

    async def execute(self, statement: str) -> None:
        """By its first word."""
        await self.value(statement.split()[0].lower(), {"statement": statement})


class Operators:
    """Whose lock is held, and what their statements do."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.dropping = Dropping(server)
        #: Locks, and by which command each is held.
        self._held: dict[str, str] = {}
        #: Orders whose status no worker has published again yet.
        self.unpublished: set[str] = set()
        self.forgotten: set[str] = set()
        for each in (
            self.try_only_one,
            self.page,
            self.forget_count,
            self.forget_page,
            self.forgotten_unpublished,
            self.forgotten_published,
        ):
            server.others[each.__name__] = each
        server.dropped_at, server.gone_since = self._dropped_at, self._gone_since
        self.losses = Losses(server)

    @asynccontextmanager
    async def only_one(self, _settings: object, what: str) -> AsyncIterator[Maintenance]:
        """In place of `creditstream.store.maintenance.only_one`."""
        session = Maintenance(self._server, what)
        await session.value("start_maintenance")
        if what in self._held:
            raise StartError(f"another `{what}` is at work on this database")
        self._hold(what, what)
        try:
            yield session
        finally:
            for each in [each for each, holder in self._held.items() if holder == what]:
                del self._held[each]
            if what == "restore":
                await self.losses.unlock()  # its connection may have broken with its rows locked
            self.dropping.is_at_work = "retention" in self._held

    def _hold(self, what: str, holder: str) -> None:
        self._held[what] = holder
        self.dropping.is_at_work = "retention" in self._held

    async def read_rows(self, _settings: object) -> AsyncIterator[list[Row]]:
        """In place of `creditstream.store.pages.read_rows`."""
        session = Maintenance(self._server)
        after = ""
        while page := await session.value("page", {"after": after}):
            yield [msgspec.convert(row, Row, strict=False) for row in page]
            after = page[-1]["order_id"]

    # -- statements, by their names

    async def try_only_one(self, given: Mapping[str, Any]) -> bool:
        """A lock of another command's, held as long as the session."""
        if given["what"] in self._held:
            return False
        self._hold(given["what"], given["holder"])
        return True

    async def page(self, given: Mapping[str, Any]) -> list[Held]:
        rows = self._server.months.visible(self._server.rows)
        return [rows[each] for each in sorted(rows) if each > given["after"]][:_PAGE]

    async def forget_count(self, given: Mapping[str, Any]) -> str:
        settled = [self._is_settled(row, given) for row in self._of(given)]
        return json.dumps({"orders": sum(settled), "undecided": len(settled) - sum(settled)})

    async def forget_page(self, given: Mapping[str, Any]) -> int:
        ids = [row["order_id"] for row in self._of(given) if self._is_settled(row, given)][:_PAGE]
        async with self._server.locked(ids):
            await asyncio.sleep(self._server.chance.uniform(0.000_5, self._server.slowest))
            return sum(self._forget(order_id) for order_id in ids)

    async def forgotten_unpublished(self, _given: Mapping[str, Any]) -> str:
        rows = self._server.months.visible(self._server.rows)
        return told(rows[each] for each in sorted(self.unpublished) if each in rows)

    async def forgotten_published(self, given: Mapping[str, Any]) -> int:
        done = self.unpublished & set(given["ids"].strip("{}").split(","))
        self.unpublished -= done
        return len(done)

    # -- what they do

    def _gone_since(self) -> dict[str, str]:
        dropped = {month: known for month, known in self.dropping.months.items() if known.dropped_at}
        return {
            month: (known.begun_at or known.dropped_at).isoformat()
            for month, known in dropped.items()
            if not known.is_begun and known.dropped_at is not None
        }

    def _dropped_at(self, month: str) -> str | None:
        known = self.dropping.months.get(month)
        return known.dropped_at.isoformat() if known and known.dropped_at else None

    def _of(self, given: Mapping[str, Any]) -> list[Held]:
        rows = self._server.months.visible(self._server.rows)
        return [rows[each] for each in sorted(rows) if rows[each]["customer_id"] == given["customer"]]

    def _is_settled(self, row: Held, given: Mapping[str, Any]) -> bool:
        age = datetime.fromisoformat(moment()) - datetime.fromisoformat(row["updated_at"])
        return row["status"] != "under_review" or row["reason"] in FOR_A_PERSON or age > timedelta(seconds=given["age"])

    def _forget(self, order_id: str) -> bool:
        row = self._server.rows.get(order_id)  # its month may have gone since
        if row is None or row["customer_id"] == FORGOTTEN_CUSTOMER:
            return False
        self._server.on_change({order_id: (row, self._server.keys[order_id])})
        changes = {"customer_id": FORGOTTEN_CUSTOMER, "fingerprint": _FORGOTTEN, "updated_at": moment()}
        self._server.rows[order_id] = row | changes | {"version": row["version"] + 1}
        self._server.keys[order_id] = self._server.keys[order_id] | {"fingerprint": _FORGOTTEN}
        self.unpublished.add(order_id)
        self.forgotten.add(order_id)
        return True
