"""`make bench`: the same orders, broker, database and risk API for each contender, interleaved, in one run.

Reports medians over the rounds, and each contender's CPU as a ratio to the guide's agent: machines differ, ratios less.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from contenders import CONTENDERS, Contender, Place
from rich.console import Console
from rich.table import Table

from creditstream.dev.load import run_load
from creditstream.dev.stack import Ports, Stack
from creditstream.settings import Settings, load_settings

_ROOT = Path(".local/bench")
_RESULTS = Path("bench/results/latest.json")
_POLL = 0.2
_GIVE_UP_AFTER = 300.0


class Measured(msgspec.Struct):
    """One contender in one round. `cpu_us`: the worker process's own, per order; `rss_mb`: its peak."""

    orders_per_second: float
    cpu_us: float
    rss_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=int, default=50, help="of the simulated risk API")
    parser.add_argument("--only", choices=sorted(CONTENDERS), action="append", help="these contenders and no others")
    options = parser.parse_args()
    names = options.only or list(CONTENDERS)
    rounds: dict[str, list[Measured]] = {name: [] for name in names}
    with ExitStack() as cleanup:
        stack = _start(cleanup, options.latency_ms)
        for number in range(options.rounds):
            for name in names:
                measured = _measure(CONTENDERS[name](_place(stack, name, number)), options.orders)
                rounds[name].append(measured)
                print(f"round {number + 1} of {options.rounds}: {name}: {_words(measured)}", flush=True)
    result = _result(rounds, options)
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    _print(result)
    return 0


def _start(cleanup: ExitStack, latency_ms: int) -> Stack:
    Stack(_ROOT, Ports.chosen(_ROOT / "stack" / "ports.json", {})).clean()
    stack = Stack(_ROOT, Ports.free(), cache=Path(".local/cache"))
    cleanup.callback(stack.clean)
    stack.up(lambda name, text, last: print(f"{name:<10} {text}", flush=True) if last else None)
    stack.set_risk(latency_ms=latency_ms)
    return stack


def _place(stack: Stack, name: str, number: int) -> Place:
    label = f"{name}-{number}-{os.getpid()}"
    return Place(stack.environment(), label.replace("_", "-"), _ROOT / label)


def _measure(contender: Contender, orders: int) -> Measured:
    """Start the contender, let it settle in, then produce all orders at once and time it to its last row."""
    contender.prepare()
    contender.start()
    try:
        settings = load_settings(contender.environ)
        before = contender.cpu_seconds()
        started = time.monotonic()
        asyncio.run(_produce(settings, orders))
        deadline = started + _GIVE_UP_AFTER
        while (done := contender.decided()) < orders:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"creditstream: {contender.place.label} decided {done} of {orders} orders, then no more"
                )
            time.sleep(_POLL)
        seconds = time.monotonic() - started
        cpu = contender.cpu_seconds() - before
        return Measured(orders / seconds, cpu / orders * 1e6, contender.peak_rss_mb())
    finally:
        contender.stop()


async def _produce(settings: Settings, orders: int) -> None:
    await run_load(settings, count=orders, rate=0, duplicates=0, conflicts=0, malformed=0, seed=1, keyed=True)


def _result(rounds: dict[str, list[Measured]], options: argparse.Namespace) -> dict[str, object]:
    medians = {
        name: {field: statistics.median(getattr(each, field) for each in taken) for field in Measured.__struct_fields__}
        for name, taken in rounds.items()
    }
    guide = medians.get("guide", {}).get("cpu_us")
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "orders": options.orders,
        "rounds": options.rounds,
        "risk_latency_ms": options.latency_ms,
        "medians": medians,
        "cpu_to_guide": {name: median["cpu_us"] / guide for name, median in medians.items()} if guide else {},
        "all_rounds": {name: [msgspec.to_builtins(each) for each in taken] for name, taken in rounds.items()},
    }


def _words(measured: Measured) -> str:
    rate, cpu, rss = measured.orders_per_second, measured.cpu_us, measured.rss_mb
    return f"{rate:,.0f} orders/s, {cpu:,.0f} µs CPU per order, {rss:,.0f} MB"


def _print(result: dict[str, object]) -> None:
    table = Table(title=f"{result['orders']:,} orders, risk API at {result['risk_latency_ms']} ms, medians")
    for column in ("contender", "orders/s", "CPU per order", "of the guide's", "peak RSS"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    medians = msgspec.convert(result["medians"], dict[str, Measured])
    ratios = msgspec.convert(result["cpu_to_guide"], dict[str, float])
    for name, median in medians.items():
        ratio = f"{ratios[name]:.2f}" if name in ratios else "–"
        cells = (f"{median.orders_per_second:,.0f}", f"{median.cpu_us:,.0f} µs", ratio, f"{median.rss_mb:,.0f} MB")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
