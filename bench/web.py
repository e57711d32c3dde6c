"""What open pages cost a worker: the same load with and without 500 event streams and 100 requests a second.

`PYTHONPATH=. python bench/web.py [--pages 500] [--rate 100] [--orders 30000]` prints orders/s of both, how long after
its commit a change was on a page, and whether the dashboard is connected to the primary (it asks the replica).
"""

import argparse
import asyncio
import os
import statistics
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import aiohttp
import msgspec
from contenders import Creditstream
from run import _place, _produce, _start

from creditstream.dev.stack.ports import free_port
from creditstream.settings import load_settings
from creditstream.store.reads import APPLICATION_NAME

_GIVE_UP_AFTER = 300.0
_BETWEEN_LOOKS = 0.2


class WithPages(Creditstream):
    """The worker with the stack's real replica: its database is on the primary, and follows."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # a Place, as the base class says
        replica = self.place.stack["CREDITSTREAM_POSTGRES_REPLICA_DSN"]
        self.environ["CREDITSTREAM_POSTGRES_REPLICA_DSN"] = replica.rpartition("/")[0] + f"/{self._database}"

        self.port = free_port()

    def settings(self) -> dict[str, str]:
        return {**self.environ, "CREDITSTREAM_WEB_PORT": str(self.port)}


class Load:
    """Pages and requests. `delays`: seconds from a change's commit to its arrival, on one page in plain text."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.delays: list[float] = []
        self.requests = self.failures = self.bytes = self.ended = 0

    async def page(self, session: aiohttp.ClientSession) -> None:
        """Takes what comes, as it is on the wire: unpacking it is the browser's work on the browser's machine."""
        async with session.get(
            self._url + "/events", auto_decompress=False, headers={"Accept-Encoding": "gzip"}
        ) as answer:
            with suppress(aiohttp.ClientError):
                async for chunk in answer.content.iter_any():
                    self.bytes += len(chunk)
        self.ended += 1

    async def watcher(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._url + "/events", headers={"Accept-Encoding": "identity"}) as answer:
            async for line in answer.content:
                if line.startswith(b'data: {"order_id"'):
                    committed = datetime.fromisoformat(msgspec.json.decode(line[6:])["updated_at"])
                    self.delays.append((datetime.now(UTC) - committed).total_seconds())

    async def ask(self, session: aiohttp.ClientSession, rate: float) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        running: set[asyncio.Task[None]] = set()
        paths = ("/stats", "/orders?limit=50", "/orders?status=approved", "/orders?customer=c-1")
        while True:
            task = asyncio.create_task(self._ask(session, paths[self.requests % len(paths)]))
            running.add(task)
            task.add_done_callback(running.discard)
            self.requests += 1
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - clock()))

    async def _ask(self, session: aiohttp.ClientSession, path: str) -> None:
        try:
            async with session.get(self._url + path) as answer:
                await answer.read()
                self.failures += answer.status != 200
        except aiohttp.ClientError:
            self.failures += 1


async def _run(worker: Creditstream, load: Load, pages: int, rate: float, orders: int) -> float:
    """Orders a second."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()
    ) as session:
        tasks = [asyncio.create_task(load.page(session)) for _ in range(pages)]
        if pages:
            tasks.append(asyncio.create_task(load.watcher(session)))
            tasks.append(asyncio.create_task(load.ask(session, rate)))
            await asyncio.sleep(3.0)
        started = time.monotonic()
        await asyncio.to_thread(lambda: asyncio.run(_produce(load_settings(worker.environ), orders)))
        while await asyncio.to_thread(worker.decided) < orders:
            if time.monotonic() - started > _GIVE_UP_AFTER:
                raise SystemExit("creditstream: the orders are not decided in time")
            await asyncio.sleep(_BETWEEN_LOOKS)
        seconds = time.monotonic() - started
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return orders / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--orders", type=int, default=30_000)
    options = parser.parse_args()
    with ExitStack() as cleanup:
        stack = _start(cleanup, latency_ms=50)
        found = {}
        for label, pages in (("without", 0), ("with", options.pages)):
            worker = WithPages(_place(stack, f"web-{label}", os.getpid()))
            load = Load(worker.port)
            worker.prepare()
            worker.start()
            try:
                cpu, began = worker.cpu_seconds(), time.monotonic()
                found[label] = asyncio.run(_run(worker, load, pages, options.rate, options.orders))
                cpu, seconds = worker.cpu_seconds() - cpu, time.monotonic() - began
                connected = "SELECT coalesce(string_agg(application_name, ','), '') FROM pg_stat_activity"
                on_primary = APPLICATION_NAME in worker.ask(worker.dsn, connected)
            finally:
                worker.stop()
            print(f"{label} pages: {found[label]:,.0f} orders/s, {cpu:.1f} s of CPU in {seconds:.1f} s", flush=True)
        cuts = statistics.quantiles(load.delays, n=100)
        print(f"{found['with'] / found['without']:.0%} of the orders/s remain with {options.pages} pages")
        print(f"commit to page, {len(load.delays)} changes: median {cuts[49]:.3f} s, 99th percentile {cuts[98]:.3f} s")
        print(f"{load.requests} requests, {load.failures} not 200; {load.ended} pages dropped; {load.bytes:,} bytes")
        print(f"the dashboard is connected to the primary: {on_primary}")


if __name__ == "__main__":
    main()
