"""`make bench BENCH=web`: what open pages cost a worker: the same orders with and without 500 pages and 100 requests/s.

Prints orders/s and the worker's CPU of both, in turns, and how long after its commit a change was on a page.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec

from bench.burst import Measured, a_place, at_work, burst, some_orders, words
from bench.contenders import Creditstream
from bench.pages import Seen
from bench.run import started
from devtools.stack import Stack
from devtools.stack.ports import HOST, free_port

_ROOT = Path(".local/bench-web")
_WARM_UP = 3_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench BENCH=web", description=__doc__)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--requests", type=float, default=100.0, help="a second, of the JSON API")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[Measured]] = {"without": [], "with": []}
    with started(_ROOT) as stack:
        stack.set_risk(latency_ms=50)
        for number in range(options.rounds):
            for label in ("without", "with") if number % 2 else ("with", "without"):  # a machine that slows down, too
                pages = options.pages if label == "with" else 0
                runs[label].append(_measure(stack, pages, options.requests, options.orders, 100 * number))
                print(f"{label} pages: {words(runs[label][-1])}", flush=True)
    report(runs["with"], runs["without"], options.pages)
    return 0


def report(those: list[Measured], without: list[Measured], pages: int) -> None:
    """The share that remains is the median of the rounds' own: a machine that others use is not the same in each."""
    shares = [ours.orders_per_second / bare.orders_per_second for ours, bare in zip(those, without, strict=True)]
    rate = statistics.median(each.orders_per_second for each in without)
    rounds = ", ".join(f"{share:.0%}" for share in shares)
    print(f"{statistics.median(shares):.0%} of {rate:,.0f} orders/s remain with {pages} pages (rounds: {rounds})")


def _measure(stack: Stack, pages: int, requests: float, orders: int, seed: int) -> Measured:
    """A worker with the stack's real replica: its database is on the primary, and follows."""
    port = free_port()
    place = a_place(stack, "web", _ROOT)
    database = place.dsn.rpartition("/")[2]
    replica = stack.environment()["CREDITSTREAM_POSTGRES_REPLICA_DSN"].rpartition("/")[0] + f"/{database}"
    place = place._replace(environ={**place.environ, "CREDITSTREAM_POSTGRES_REPLICA_DSN": replica})
    with at_work(stack, Creditstream(place, CREDITSTREAM_WEB_PORT=str(port))) as worker:
        burst(worker, some_orders(_WARM_UP, seed=seed + 1))
        with _pages(f"http://{HOST}:{port}", pages, requests):
            return burst(worker, some_orders(orders, seed=seed))


@contextmanager
def _pages(url: str, pages: int, requests: float) -> Iterator[None]:
    """All open before the orders come."""
    if not pages:
        yield
        return
    command = [sys.executable, "-m", "bench.pages", url, str(pages), str(requests)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = cast(IO[str], process.stdout)
        try:
            if said.readline().strip() != "ready":
                raise SystemExit("creditstream: the pages could not be opened")
            yield
        finally:
            process.terminate()
            printed = said.read()
    seen = msgspec.json.decode(printed, type=Seen)
    median, last = seen.delays_ms
    print(
        f"  {seen.changes:,} changes, commit to page: median {median:,.0f} ms, 99th percentile {last:,.0f} ms; "
        f"{seen.requests:,} requests, {seen.refused} not 200; {seen.dropped} pages dropped; {seen.bytes / 1e6:,.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
