"""One real worker while each of its servers answers and is of no use, or says nothing; orders come all the while."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import redis

from creditstream.store.reads import APPLICATION_NAME
from devtools.programs import RiskApiProcess, Worker
from devtools.stack.ports import HOST
from devtools.wait import wait_for
from tests.chaos.proxy import Proxy
from tests.conftest import StartWorker
from tests.support.database import Database, ask
from tests.support.kafka import Topics
from tests.support.product import audited, order_line, settle
from tests.support.web import Answer, Stream
from tests.support.web import ask as ask_web
from tests.useless.conftest import Own, port_of

_BATCH = 60
_WITHIN = 30.0
#: Seconds for one answer of the web server whatever is frozen; PostgreSQL's own time-outs are 10 s and more.
_BOUND = 6.0


class Scene:
    """The worker, and orders by the batch."""

    def __init__(self, worker: Worker, topics: Topics, own: Own) -> None:
        self.worker, self._topics, self._own = worker, topics, own
        self.sent = 0
        self.last = ""

    def send(self) -> None:
        ids = [str(uuid4()) for _ in range(_BATCH)]
        self._topics.send_lines("orders", [order_line(each) for each in ids])
        self.sent, self.last = self.sent + _BATCH, ids[-1]

    def ask(self, path: str) -> Answer:
        return ask_web(self.worker.url + path, within=_BOUND)

    def problems(self) -> str:
        answer = self.ask("/health/ready")
        return " ".join(answer.json.get("problems", []))

    def available(self) -> bool:
        return bool(self.ask("/stats").json["available"])

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        [service] = [each for each in self._own.stack.services if each.name == name]
        processes = service.processes()
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)


def test_a_server_of_no_use_costs_its_own_part_and_all_goes_on_by_itself(
    own: Own,
    database: Database,
    topics: Topics,
    risk_api: RiskApiProcess,
    start_worker: StartWorker,
    worker_environ: Mapping[str, str],
) -> None:
    async def play() -> None:
        door = Proxy(port_of(database.dsn))
        await door.open()
        try:
            settings = {
                "postgres_dsn": database.dsn.replace(f":{door.target}/", f":{door.port}/"),
                "redis_url": f"redis://{HOST}:{own.stack.ports.redis}/0",
            }
            scene = Scene(await asyncio.to_thread(lambda: start_worker(**settings)), topics, own)
            await the_address_goes_to_a_standby_and_back(scene, door, port_of(database.replica_dsn))
            await asyncio.to_thread(the_others_are_of_no_use, scene, own)
            await asyncio.to_thread(settle, worker_environ, scene.sent)
            assert scene.worker.exit_code is None
            assert "Traceback" not in scene.worker.log()
            assert risk_api.journal()["calls"] == scene.sent, "an answer is kept until it is committed"
        finally:
            await door.close()

    asyncio.run(play())
    report = audited(worker_environ)
    assert report["under_review"] == 0
    [(looking,)] = ask(
        database.replica_dsn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (APPLICATION_NAME,)
    )
    assert looking <= 2, "what was asked of a frozen replica is not asked for ever"


async def the_address_goes_to_a_standby_and_back(scene: Scene, door: Proxy, standby: int) -> None:
    """As at a fail-over: connections to the standby stay open after the address is right again."""
    primary = door.target
    await asyncio.to_thread(scene.send)
    door.target = standby
    await door.cut()
    await asyncio.to_thread(scene.send)
    await asyncio.to_thread(until, lambda: "PostgreSQL is read-only: a standby" in scene.problems(), "readiness knows")
    seen = scene.worker.log().count("PostgreSQL is away")
    await asyncio.to_thread(until, lambda: scene.worker.log().count("PostgreSQL is away") > seen + 2, "it tries again")
    door.target = primary
    await asyncio.to_thread(until, lambda: scene.problems() == "", "ready again, although nobody cut a connection")
    await asyncio.to_thread(scene.send)


def the_others_are_of_no_use(scene: Scene, own: Own) -> None:
    with redis_was_frozen(scene):
        the_replica_is_frozen(scene)
    with redis_was_a_replica(scene, own):
        the_primary_is_frozen(scene)


def the_replica_is_frozen(scene: Scene) -> None:
    """Costs the page its list and counts; not the lag, not the breaker, and no place for others."""
    until(scene.available, "the counts are there")
    with Stream(scene.worker.url) as page:
        with scene.frozen("replica"):
            for _ in range(3):
                stats = scene.ask("/stats").json
                assert stats["worker"]["risk"]["breaker"] == "closed"
                assert stats["worker"]["lag_records"] is not None
            until(lambda: not scene.available(), "the page says so")
            told = next(each for each in page.events if each.name == "stats" and not each.data["available"])
            assert told.data["worker"]["lag_records"] is not None
            with ThreadPoolExecutor(20) as many:
                paths = [f"/orders?customer=c-{number}" for number in range(40)]
                assert {answer.status for answer in many.map(scene.ask, paths)} == {503}
            order = scene.ask(f"/orders/{scene.last}")
            assert order.status in (200, 404), "its worker answers in the replica's place"
            assert scene.problems() == "", "deciding does not depend on the replica"
            scene.send()
        until(scene.available, "the replica is found again")
        assert next(each for each in page.events if each.name == "stats" and each.data["available"])
    assert scene.ask("/orders?limit=7").status == 200


@contextmanager
def redis_was_frozen(scene: Scene) -> Iterator[None]:
    """Inside, it is left alone for a while."""
    with scene.frozen("redis"):
        until(lambda: looked(scene) and "Redis is away" in scene.worker.log(), "one warning")
        assert scene.problems() == ""
    yield
    until(lambda: looked(scene) and "Redis is back" in scene.worker.log(), "it is found again")
    assert scene.worker.log().count("Redis is away") == 1


@contextmanager
def redis_was_a_replica(scene: Scene, own: Own) -> Iterator[None]:
    """Inside, it is left alone for a while."""
    with redis.Redis(host=HOST, port=own.stack.ports.redis) as server:
        server.replicaof(HOST, 1)
        until(lambda: looked(scene) and "Redis keeps no answers (ReadOnlyError)" in scene.worker.log(), "one warning")
        server.replicaof("NO", "ONE")
    yield
    until(lambda: looked(scene) and "Redis keeps answers again" in scene.worker.log(), "it keeps answers again")
    assert scene.worker.log().count("Redis keeps no answers") == 1


def the_primary_is_frozen(scene: Scene) -> None:
    with scene.frozen("postgres"):
        until(lambda: "PostgreSQL does not answer" in scene.problems(), "readiness knows")
        assert scene.ask("/stats").status == scene.ask("/orders?limit=9").status == 200
        assert scene.ask(f"/orders/{scene.last}").status in (200, 404)
        assert scene.ask("/health/live").status == 200
        scene.send()
    until(lambda: scene.problems() == "", "ready again")


def looked(scene: Scene) -> bool:
    """Whether a list is there that nobody has asked for before."""
    return scene.ask(f"/orders?customer={uuid4()}").status == 200


def until(condition: Callable[[], bool], what: str) -> None:
    wait_for(condition, _WITHIN, what)
