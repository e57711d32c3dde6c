"""The store, when its address leads to a server that answers and cannot take an order, and then to the right one."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop

from creditstream.config.patience import patiently
from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreUnavailable, StoreUseless
from creditstream.store.migrations import migrate
from creditstream.store.orders import PostgresStore
from creditstream.store.replica import Replica
from devtools.fakes import a_proposal, an_order
from devtools.stack.ports import HOST, free_port
from devtools.wait import wait_for_async
from schemas.status import Row
from tests.chaos.proxy import Proxy
from tests.support.database import Database, ask, with_database
from tests.useless.conftest import port_of

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario)

    return run


@asynccontextmanager
async def behind_a_door(database: Database) -> AsyncIterator[tuple[PostgresStore, Proxy]]:
    """The store on an address that leads to the primary until the door's target says otherwise."""
    door = Proxy(port_of(database.dsn))
    await door.open()
    dsn = database.dsn.replace(f":{door.target}/", f":{door.port}/")
    store = await PostgresStore.open(Settings(postgres_dsn=Secret(dsn)))
    try:
        yield store, door
    finally:
        await store.close()
        await door.close()


async def fill_pool(store: PostgresStore) -> None:
    """Each of its connections is open and idle."""
    size = Settings().postgres_pool
    held = [await store._database._pool.acquire() for _ in range(size)]
    for connection in held:
        await store._database._pool.release(connection)


async def one_failure_then_right(store: PostgresStore, heal: Callable[[], object], match: str) -> None:
    proposal = a_proposal()
    with pytest.raises(StoreUnavailable, match=match) as caught:
        await store.commit([proposal])
    assert "\n" not in str(caught.value)
    heal()
    answers = await store.commit([proposal])
    assert isinstance(answers[proposal.order.order_id], Row), "the first try after the address is right succeeds"


def test_an_address_that_goes_to_a_standby_and_back_costs_one_failure(run: Run, database: Database) -> None:
    async def scenario() -> None:
        async with behind_a_door(database) as (store, door):
            primary, door.target = door.target, port_of(database.replica_dsn)
            store._database.drop()
            await fill_pool(store)
            with pytest.raises(StoreUseless, match=r"^PostgreSQL is read-only: a standby"):
                await store.ping()
            await fill_pool(store)
            with pytest.raises(StoreUnavailable, match="this is a standby"):
                await store.find([a_proposal().order.order_id])
            await fill_pool(store)
            to_primary = lambda: setattr(door, "target", primary)  # noqa: E731 - the way back
            await one_failure_then_right(store, to_primary, "25006: .* read-only transaction: .*primary")
            await store.ping()

    run(scenario())


#: What makes a session useless, what is said of it, and what makes the next one right.
SPOILT = [
    ("ALTER DATABASE {} SET default_transaction_read_only = on", "read-only", "ALTER DATABASE {} RESET ALL"),
    ("ALTER TABLE order_keys RENAME TO away", "42P01.*migrate", "ALTER TABLE away RENAME TO order_keys"),
    ("ALTER DATABASE {} SET search_path = pg_catalog", "42(P01|883).*migrate", "ALTER DATABASE {} RESET ALL"),
    ("ALTER DATABASE {} SET role = pg_monitor", "42501.*GRANT", "ALTER DATABASE {} RESET ALL"),
]


@pytest.mark.parametrize(("spoil", "said", "heal"), SPOILT)
def test_a_session_that_is_not_what_it_should_be_is_not_used_again(
    run: Run, database: Database, spoil: str, said: str, heal: str
) -> None:
    """Only a new session notices that an ALTER DATABASE was taken back: the old ones must go."""

    def alter(statement: str) -> None:
        dsn = with_database(database.dsn, "postgres") if "DATABASE" in statement else database.dsn
        ask(dsn, statement.format(database.name))

    async def scenario() -> None:
        async with behind_a_door(database) as (store, _):
            alter(spoil)
            store._database.drop()  # the next sessions begin spoilt
            with pytest.raises(StoreUseless) as caught:
                await store.ping()
            assert "\n" not in str(caught.value)
            await fill_pool(store)
            await one_failure_then_right(store, lambda: alter(heal), said)
            await store.ping()

    run(scenario())


def test_a_role_or_database_with_another_encoding_changes_no_order(run: Run, database: Database) -> None:
    """The client's encoding is the session's too: with another one, names were refused that the table can hold."""

    async def scenario() -> None:
        alter = f"ALTER DATABASE {database.name} SET client_encoding = 'LATIN1'"
        ask(with_database(database.dsn, "postgres"), alter)
        async with behind_a_door(database) as (store, _):
            proposal = a_proposal(an_order(customer_id="Łódź", metadata={"note": "日本 😀"}))
            order_id = proposal.order.order_id
            answers = await store.commit([proposal])
            assert isinstance(answers[order_id], Row)
            assert answers == await store.find([order_id])

    run(scenario())


def test_who_waits_for_a_free_connection_gets_one_when_a_broken_one_comes_back(run: Run, database: Database) -> None:
    """Else it waits until its time is up, although there is room for a new one."""

    async def scenario() -> None:
        async with behind_a_door(database) as (store, _):
            pool = store._database._pool
            held = [await pool.acquire() for _ in range(Settings().postgres_pool)]
            waiting = asyncio.create_task(store._database.value("check"))
            await asyncio.sleep(0)
            pool.drop()
            await pool.release(held[0])
            assert await waiting == 1
            for each in held[1:]:
                await pool.release(each)

    run(scenario())


@pytest.mark.parametrize("first", ["refused", "silent", "standby"])
def test_of_several_hosts_the_one_that_may_be_written_is_found(run: Run, database: Database, first: str) -> None:
    """libpq leaves time-outs to whoever waits for it without blocking: a host that vanished must not be the last."""
    primary, standby = port_of(database.dsn), port_of(database.replica_dsn)

    async def scenario() -> None:
        with socket.create_server((HOST, 0)) as silent:  # takes connections and says nothing
            ports = {"refused": free_port(), "silent": silent.getsockname()[1], "standby": standby}
            address = f"{HOST}:{ports[first]},{HOST}:{primary}"
            user = urlsplit(database.dsn).username
            dsn = f"postgresql://{user}@{address}/{database.name}?target_session_attrs=read-write"
            store = await PostgresStore.open(Settings(postgres_dsn=Secret(dsn)))
            await store.ping()
            await store.close()

    run(scenario())


def test_of_several_addresses_of_one_name_the_next_is_tried(run: Run, database: Database) -> None:
    """One host of the list, by two addresses of which the first refuses: libpq changes its socket on the way."""

    async def scenario() -> None:
        dsn = f"{database.dsn.replace(HOST, 'localhost')}"
        store = await PostgresStore.open(Settings(postgres_dsn=Secret(dsn)))
        await store.ping()
        await store.close()
        with pytest.raises(StoreUnavailable, match="; "):
            nowhere = f"postgresql://u:hush@{HOST}:1,{HOST}:2/db"
            await PostgresStore.open(Settings(postgres_dsn=Secret(nowhere)))

    run(scenario())


def test_a_replica_that_was_promoted_follows_nobody_and_has_nothing(run: Run, database: Database) -> None:
    """Its own log goes on by itself: that it is long enough says nothing."""

    async def scenario() -> None:
        settings = Settings(postgres_dsn=Secret(database.dsn), postgres_replica_dsn=Secret(database.replica_dsn))
        store, replica = await PostgresStore.open(settings), await Replica.open(settings)
        in_its_place = await Replica.open(Settings(postgres_replica_dsn=settings.postgres_dsn))
        position = await store.position()
        await wait_for_async(lambda: replica.has(position), what="the replica has what the primary has")
        assert await in_its_place.has(position)
        assert not await in_its_place.has("0/1@1764403200.5"), "of a server that this one is not, or is no more"
        for each in (store, replica, in_its_place):
            await each.close()

    run(scenario())


def test_a_worker_or_command_that_starts_on_a_standby_says_so_in_one_line(database: Database) -> None:
    async def start() -> None:
        settings = Settings(postgres_dsn=Secret(database.replica_dsn), start_timeout=0.1)
        for ask_it in (lambda: PostgresStore.open(settings), lambda: migrate(database.replica_dsn)):
            with pytest.raises(StartError, match=r"is of no use for 0 s: .*read-only") as caught:
                await patiently(settings, ask_it)
            assert "\n" not in str(caught.value)

    asyncio.run(start())
