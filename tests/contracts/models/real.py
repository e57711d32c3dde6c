"""The scenarios on real servers. Kafka's all at the same time: most of what they do is wait."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import Any

import aiokafka.client
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.order.ports import Proposal
from creditstream.store.database import Database, message
from creditstream.store.maintenance import Maintenance, only_one
from creditstream.store.orders import PostgresStore
from devtools.stack.ports import HOST
from devtools.wait import wait_for_async
from tests.contracts.models.book import KAFKA, POSTGRES
from tests.contracts.models.frail import FrailWay
from tests.contracts.models.kafka import Kafka
from tests.contracts.models.play import outcome
from tests.contracts.models.postgres import Held, Postgres
from tests.contracts.models.scenarios import Scenario, Seen
from tests.support.database import ask
from tests.support.servers import Servers

#: Seconds. A session that ends takes six of them.
_WITHIN = 60.0
_WAITS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def on_real_servers(servers: Servers, dsn: str) -> dict[str, Seen]:
    """What was seen in each scenario. `dsn`: of a migrated database."""

    async def all_of_them() -> dict[str, Seen]:
        kafka = asyncio.gather(*[_of_kafka(each, servers, ways) for each in KAFKA])
        seen = {each.name: await _of_postgres(each, dsn) for each in POSTGRES}
        return seen | dict(zip([each.name for each in KAFKA], await kafka, strict=True))

    with _led_over_frail_ways() as ways:
        return asyncio.run(all_of_them())


@contextmanager
def _led_over_frail_ways() -> Iterator[dict[str, int]]:
    """By client's name, the port that its connections go to. Without it a broker tells them its own address."""
    ways: dict[str, int] = {}
    client: Any = aiokafka.client
    straight = client.create_conn

    async def connect(host: str, port: int, **options: Any) -> Any:
        if options["client_id"] in ways:
            host, port = HOST, ways[options["client_id"]]
        return await straight(host, port, **options)

    client.create_conn = connect
    try:
        yield ways
    finally:
        client.create_conn = straight


async def _of_kafka(scenario: Scenario, servers: Servers, ways: dict[str, int]) -> Seen:
    async with AsyncExitStack() as opened:
        host, _, port = servers.brokers.split(",")[0].rpartition(":")
        way = await _opened(opened, host, int(port))
        kafka = Kafka(servers.brokers, way, servers.replication_factor)
        kafka.frail = f"frail-{scenario.name}"
        ways[kafka.frail] = way.port
        opened.push_async_callback(kafka.close)
        return await outcome(scenario, kafka, _WITHIN)


async def _of_postgres(scenario: Scenario, dsn: str) -> Seen:
    async with AsyncExitStack() as opened:
        parts = parse_dsn(dsn)
        way = await _opened(opened, parts["host"], int(parts["port"]))
        frail = make_dsn(**parts | {"host": HOST, "port": way.port})
        return await outcome(scenario, _Real(await _store(opened, frail), way, dsn), _WITHIN)


async def _opened(opened: AsyncExitStack, host: str, port: int) -> FrailWay:
    way = FrailWay(host, port)
    await way.open()
    opened.push_async_callback(way.close)
    return way


async def _store(opened: AsyncExitStack, dsn: str) -> PostgresStore:
    store = PostgresStore(await Database.open(Secret(dsn), size=4))
    opened.push_async_callback(store.close)
    return store


class _Real(Postgres):
    def __init__(self, store: PostgresStore, way: FrailWay, dsn: str) -> None:
        super().__init__(store, way)
        self._way, self._dsn = way, dsn

    @asynccontextmanager
    async def holding(self, proposal: Proposal) -> AsyncIterator[Held]:
        held = Held()
        with closing(psycopg2.connect(self._dsn)) as connection:
            inside: Any = _OpenTransaction(connection)
            await PostgresStore(inside).commit([proposal])
            yield held
            (connection.rollback if held.rolls_back else connection.commit)()

    def maintenance(self) -> AbstractAsyncContextManager[Maintenance]:
        return only_one(Settings(postgres_dsn=Secret(self._dsn)), "retention")

    async def until_somebody_waits(self) -> None:
        async def waits() -> bool:
            return bool((await asyncio.to_thread(ask, self._dsn, _WAITS))[0][0])

        await wait_for_async(waits, 20.0, "somebody who waits for a lock")

    @asynccontextmanager
    async def fault(self, name: str) -> AsyncIterator[PostgresStore]:
        async with AsyncExitStack() as opened:
            if name == "read-only":
                yield await _store(opened, make_dsn(self._dsn, options="-c default_transaction_read_only=on"))
                return
            self._way.is_cut = True
            await self._way.cut()
            yield self.store
            self._way.is_cut = False


class _OpenTransaction:
    """In place of the store's database: what is asked is not committed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def value(self, name: str, parameters: dict[str, object]) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(message(name), parameters)
            return cursor.fetchone()[0]
