"""Whose table has an order: this worker's, or that of the worker to which the group gave the order's partition."""

from typing import Any, Protocol
from uuid import UUID

import aiohttp

from creditstream.config.settings import Settings
from creditstream.errors import StoreUnavailable
from creditstream.order.home_partition import home_partition

_WITHIN = 1.0
"""Seconds for another worker's answer: a look into a table on its disk."""


class Statuses(Protocol):
    """The table of this worker's partitions of `order-status`."""

    @property
    def changelog(self) -> str: ...

    def get(self, partition: int, key: bytes) -> bytes | None: ...


class Owners:
    """Workers find each other by the addresses that Faust's group metadata carries (CREDITSTREAM_WEB_HOST)."""

    def __init__(self, app: Any, settings: Settings, statuses: Statuses) -> None:
        self._app, self._settings, self._statuses = app, settings, statuses
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def own(self, order_id: UUID) -> bytes | None:
        """This worker's record, if it owns the order's partition. Raises StoreUnavailable while that is open."""
        progress = self._app.group.progress
        if self._app.rebalancing or self._app.tables.recovery.in_recovery or not progress:
            raise StoreUnavailable("this worker's partitions are being assigned or recovered")
        partition = home_partition(order_id, self._app.runtime.partitions)
        if partition not in {tp.partition for tp in progress}:
            return None
        return self._statuses.get(partition, str(order_id).encode())

    async def ask(self, order_id: UUID) -> bytes | None:
        """The owner's record, None when it has none. Raises StoreUnavailable."""
        address = self._address(home_partition(order_id, self._app.runtime.partitions))
        if address == str(self._app.conf.canonical_url):
            return self.own(order_id)
        try:
            async with self._client().get(f"{address.rstrip('/')}/owned/{order_id}", headers=self._headers()) as answer:
                if answer.status == 404:
                    return None
                answer.raise_for_status()
                return await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StoreUnavailable(f"the worker that owns the order: {type(error).__name__}") from None

    def _address(self, partition: int) -> str:
        topic = self._statuses.changelog
        for address, topics in self._app.router.table_metadata("statuses").items():
            if partition in topics.get(topic, ()):
                return str(address)
        raise StoreUnavailable("no worker owns the order's partition right now")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WITHIN))
        return self._session

    def _headers(self) -> dict[str, str]:
        token = self._settings.web_token.reveal()
        return {"Authorization": f"Bearer {token}"} if token else {}
