"""What the browser tests look at: two workers on fixed ports, their Redis, the risk API; and what a page did wrong."""

import re
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID, uuid4

from playwright.sync_api import Page

from devtools.programs import Program, RiskApiProcess, Worker, clean_environ
from devtools.stack.ports import free_port
from devtools.stack.redis import redis_server
from devtools.wait import wait_for
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import order_line, settings_for
from tests.support.servers import Servers

TOKEN = "a-token-for-the-tests"


class Site:
    """Two workers, each with a port that it keeps; the second one wants a login when `token` is given to it."""

    def __init__(
        self, stack: Servers, database: Database, topics: Topics, risk_api: RiskApiProcess, folder: Path
    ) -> None:
        self.topics, self.risk_api, self.database, self._folder = topics, risk_api, database, folder
        self._ports = [free_port(), free_port()]
        self._redis_port = free_port()
        self.workers: list[Worker] = []
        self._redis: Program | None = None
        self._environ = {
            **settings_for(stack, database, topics, risk_api),
            "CREDITSTREAM_REDIS_URL": f"redis://127.0.0.1:{self._redis_port}/0",
            # A risk API that hung is asked again soon.
            "CREDITSTREAM_RISK_ATTEMPT_TIMEOUT": "1",
            "CREDITSTREAM_RETRY_DELAY": "1",
        }

    def url(self, worker: int = 0) -> str:
        return f"http://127.0.0.1:{self._ports[worker]}"

    def start(self) -> None:
        self.start_redis()
        self.workers = [self.new_worker(0), self.new_worker(1)]
        for worker in self.workers:
            worker.wait_until_ready()

    def new_worker(self, number: int, **settings: str) -> Worker:
        """Worker `number`, on its port and with its data."""
        name = f"worker{number}"
        own = {"CREDITSTREAM_DATA_DIR": str(self._folder / name), "CREDITSTREAM_WEB_PORT": str(self._ports[number])}
        given = {f"CREDITSTREAM_{key.upper()}": value for key, value in settings.items()}
        return Worker({**self._environ, **own, **given}, self._folder, name)

    def restart_worker(self, number: int, **settings: str) -> None:
        self.workers[number].discard()
        self.workers[number] = self.new_worker(number, **settings)

    def start_redis(self) -> None:
        command = [redis_server(), "--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", ""]
        self._redis = Program(command, clean_environ(), self._folder, "redis")

    def kill_redis(self) -> None:
        assert self._redis is not None
        self._redis.kill()

    def discard(self) -> None:
        for program in [*self.workers, self._redis]:
            if program is not None:
                program.discard()

    def send(self, count: int = 1, **fields: object) -> list[UUID]:
        """New orders; their ids."""
        ids = [uuid4() for _ in range(count)]
        self.topics.produce("orders", [(None, order_line(order_id, **fields).encode()) for order_id in ids])
        return ids

    def wait_until_listed(self, ids: Iterable[UUID], worker: int = 0) -> None:
        """Until all of them are decided, on the replica, and not hidden by the cache."""
        wanted = [str(order_id) for order_id in ids]
        decided = "SELECT count(*) = %s FROM orders WHERE order_id = ANY(%s::uuid[]) AND status <> 'under_review'"
        wait_for(lambda: self.database.fetch(decided, (len(wanted), wanted)) == [(True,)], 60, "the orders are decided")
        self.database.wait_for_replica()
        query = f"{self.url(worker)}/orders?limit=100"
        wait_for(lambda: wanted[-1] in _text(query), 60, "the list has the last order")


def _text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


class Watch:
    """Listens to a page: errors on its console, and requests to anybody but `url`. `but`: errors that are expected."""

    def __init__(self, page: Page, url: str, but: str | None) -> None:
        self._url, self._but = url, but
        self._errors: list[str] = []
        self._asked: list[str] = []
        page.on("console", lambda message: self._errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("request", lambda request: self._asked.append(request.url))

    def problems(self) -> list[str]:
        errors = [error for error in self._errors if not (self._but and re.search(self._but, error))]
        return errors + [f"asked {url}" for url in self._asked if not url.startswith((f"{self._url}/", "data:"))]
