"""The scenarios on the models, under virtual time, each in a world of its own.

`python -m tests.contracts.models.simulated`: as they are, and with each change of mutants.py. Prints, as JSON, what was
seen by change ("" is none) and scenario. A process of its own, since its clocks are the world's.
"""

import asyncio
import json
import logging
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

from tests.simulation import clocks  # isort: skip  # before everybody who takes `time` by name

import aiokafka.client

import creditstream.store.orders
from creditstream.order.ports import Proposal
from creditstream.store.maintenance import Maintenance
from creditstream.store.orders import PostgresStore
from devtools.wait import wait_for_async
from tests.contracts.models.book import KAFKA, POSTGRES
from tests.contracts.models.kafka import Kafka
from tests.contracts.models.mutants import MUTANTS
from tests.contracts.models.play import outcome
from tests.contracts.models.postgres import Held, Postgres
from tests.contracts.models.scenarios import Scenario, Seen
from tests.simulation import postgres
from tests.simulation.kafka.broker import HOST, PORT, Broker
from tests.simulation.loop import VirtualLoop
from tests.simulation.maintenance import Operators
from tests.simulation.network import Network

#: Virtual seconds.
_WITHIN = 300.0


def _of_kafka(scenario: Scenario) -> Seen:
    loop = VirtualLoop()
    network = Network(loop, random.Random(1), Broker(loop))
    client: Any = aiokafka.client
    client.create_conn = network.connect
    kafka = Kafka(f"{HOST}:{PORT}", _FrailWay(lambda what: network.lose_next(what, Kafka.frail)))

    async def play() -> Seen:
        seen = await outcome(scenario, kafka, _WITHIN)
        await kafka.close()
        return seen

    return _run(loop, play())


def _of_postgres(scenario: Scenario) -> Seen:
    loop = VirtualLoop()
    server = postgres.Server(loop, random.Random(1))
    postgres.Database.server = server

    async def play() -> Seen:
        return await outcome(scenario, _Simulated(server, await _store()), _WITHIN)

    return _run(loop, play())


def _run(loop: VirtualLoop, play: Any) -> Seen:
    asyncio.set_event_loop(loop)
    clocks.now.seconds = 0.0  # a world that is too old does not get on
    try:
        seen: Seen = loop.run_until_complete(play)
    except Exception as error:  # noqa: BLE001 - a world that stands still is something that was seen
        return [f"{type(error).__name__}: {error}"]
    return seen


async def _store() -> PostgresStore:
    database: Any = await postgres.Database.open()
    return PostgresStore(database)


class _FrailWay:
    def __init__(self, lose_next: Any) -> None:
        self._lose_next = lose_next

    def lose_answer(self) -> None:
        self._lose_next("answer")

    def lose_request(self) -> None:
        self._lose_next("request")


class _Simulated(Postgres):
    def __init__(self, server: postgres.Server, store: PostgresStore) -> None:
        super().__init__(store, _FrailWay(server.lose_next))
        self._server, self._operators = server, Operators(server)

    @asynccontextmanager
    async def holding(self, proposal: Proposal) -> AsyncIterator[Held]:
        held = Held()
        order_id = str(proposal.order.order_id)
        async with self._server.months.used() as hidden, self._server.locked([order_id]):
            yield held
            if not held.rolls_back:
                await PostgresStore(_inside(self._server, hidden)).commit([proposal])

    def maintenance(self) -> AbstractAsyncContextManager[Maintenance]:
        return self._operators.only_one(None, "retention")

    async def until_somebody_waits(self) -> None:
        async def waits() -> bool:
            return self._server.waiting > 0

        await wait_for_async(waits, 20.0, "somebody who waits for a lock")

    @asynccontextmanager
    async def fault(self, name: str) -> AsyncIterator[PostgresStore]:
        self._server.fault = name
        yield self.store
        self._server.fault = None


def _inside(server: postgres.Server, hidden: frozenset[str]) -> Any:
    """In place of the store's database: what is asked is done at once, by whoever holds the locks."""

    async def value(name: str, given: Any) -> Any:
        return server.write(name, given, hidden)

    return SimpleNamespace(value=value)


def on_the_models() -> dict[str, Seen]:
    seen = {each.name: _of_kafka(each) for each in KAFKA}
    return seen | {each.name: _of_postgres(each) for each in POSTGRES}


def main() -> None:
    assert clocks.now.seconds == 0
    logging.disable(logging.CRITICAL)
    store: Any = creditstream.store.orders
    store.Database = postgres.Database
    found = {"": on_the_models()}
    for name, change in MUTANTS.items():
        with change():
            found[name] = on_the_models()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
