"""PostgreSQL is away: no worker ends, intake pauses instead of filling memory, and all goes on by itself."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit

from creditstream.simulation.mix import make_mix
from devtools.programs import RiskApiProcess, Worker
from devtools.stack.ports import HOST
from devtools.wait import wait_for
from tests.chaos.proxy import Proxy
from tests.conftest import StartWorker
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, settle

_MOST = 50
_ORDERS = 1_000
_WITHIN = 60.0
_AWAY = "PostgreSQL is away"


def test_intake_pauses_while_postgresql_is_away_and_goes_on(
    start_worker: StartWorker,
    worker_environ: dict[str, str],
    database: Database,
    topics: Topics,
    risk_api: RiskApiProcess,
) -> None:
    async def play() -> None:
        port = urlsplit(database.dsn).port
        assert port
        proxy = Proxy(port)
        await proxy.open()
        try:
            dsn = database.dsn.replace(f"{HOST}:{port}", f"{HOST}:{proxy.port}")
            worker = await asyncio.to_thread(lambda: start_worker(postgres_dsn=dsn, max_in_flight=_MOST))
            await proxy.refuse()
            await asyncio.to_thread(orders_come_while_it_is_away, worker, topics, risk_api)
            await proxy.heal()
            await asyncio.to_thread(settle, worker_environ, _ORDERS)
            assert worker.exit_code is None, "it waited"
        finally:
            await proxy.close()

    asyncio.run(play())
    report = audited(worker_environ)
    assert (report["orders"], report["under_review"]) == (_ORDERS, 0)
    assert risk_api.journal()["calls"] == _ORDERS, "an answer is kept until it can be committed, not bought again"


def orders_come_while_it_is_away(worker: Worker, topics: Topics, risk_api: RiskApiProcess) -> None:
    topics.produce("orders", [(None, line.value) for line in make_mix(_ORDERS, 0, 0, 0, seed=9, now=datetime.now(UTC))])
    wait_for(lambda: risk_api.journal()["calls"] >= _MOST, _WITHIN, "as many are in flight as may be")
    seen = worker.log().count(_AWAY)
    wait_for(lambda: worker.log().count(_AWAY) > seen + 3, _WITHIN, "it goes on trying")
    assert risk_api.journal()["calls"] == _MOST, "no more are taken"
