"""`make demo`: a stack of its own, two workers, orders through kafka-console-producer, and an audit of everything."""

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from creditstream.config.load import load_settings
from creditstream.config.settings import Settings
from creditstream.operations.audit import Report, audit
from creditstream.simulation.mix import Line, make_mix
from devtools.measure import Latencies, measure_latencies
from devtools.programs import Worker
from devtools.settled import progress_bar, wait_until_settled
from devtools.stack import Ports, Stack
from devtools.stack.ports import free_port, taken
from devtools.stack.product import prepare_product

_LOCAL = Path(".local")
#: Lines per second into kafka-console-producer: a pace at which latencies mean something on two cores.
_PACE = 500
#: Of 100 orders: so many lines repeat one, contradict one, or are no orders.
_DUPLICATES, _CONFLICTS, _MALFORMED = 5, 2, 3
_READY_WITHIN = 90.0
_RISK_LATENCY_MS = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--orders", type=int, default=2_000, help="distinct orders")
    parser.add_argument("--seed", type=int, default=7, help="the same seed sends the same orders")
    options = parser.parse_args()
    if options.orders < 1:
        parser.error("ORDERS must be 1 or more")
    lines = make_mix(options.orders, *_shares(options.orders), options.seed, now=datetime.now(UTC))
    with ExitStack() as cleanup:
        settings, environ, stack = _start_stack(cleanup)
        workers = _start_workers(cleanup, environ)
        started = time.monotonic()
        _send(stack, lines)
        asyncio.run(wait_until_settled(settings, len(lines), show=progress_bar))
        seconds = time.monotonic() - started
        report, latencies = asyncio.run(_reconcile(settings))
        for worker in workers:
            worker.stop()
    result = _result(lines, report, latencies, seconds)
    (_LOCAL / "demo.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    _print(result)
    return 0 if result["clean"] else 1


def _shares(orders: int) -> tuple[int, int, int]:
    return tuple(max(1, orders * share // 100) for share in (_DUPLICATES, _CONFLICTS, _MALFORMED))  # type: ignore[return-value]


def _start_stack(cleanup: ExitStack) -> tuple[Settings, dict[str, str], Stack]:
    """A fresh one, on ports of its own: the audit sees this demo and nothing else, and a running `make up` is left."""
    root = _LOCAL / "demo"
    Stack(root, Ports.chosen(root / "stack" / "ports.json", {})).clean()  # what a killed demo may have left
    shutil.rmtree(root, ignore_errors=True)
    stack = Stack(root, Ports.free(), cache=_LOCAL / "cache")
    cleanup.callback(stack.clean)
    stack.up(_line)
    environ = stack.environment()
    _line("product", prepare_product(environ), True)
    stack.set_risk(latency_ms=_RISK_LATENCY_MS)
    return load_settings(environ), environ, stack


def _start_workers(cleanup: ExitStack, environ: dict[str, str]) -> list[Worker]:
    first = 6066 if not taken(6066) else free_port()
    workers = []
    folder = (_LOCAL / "demo").absolute()
    for number, port in enumerate((first, first + 1), start=1):
        own = {"CREDITSTREAM_DATA_DIR": str(folder / f"data-{number}"), "CREDITSTREAM_WEB_PORT": str(port)}
        worker = Worker({**environ, **own}, folder, f"worker-{number}")
        cleanup.callback(worker.discard)
        workers.append(worker)
    for number, worker in enumerate(workers, start=1):
        worker.wait_until_ready(_READY_WITHIN)
        _line(f"worker {number}", f"ready, page at {worker.url}/", True)
    return workers


def _send(stack: Stack, lines: list[Line]) -> None:
    """Type the lines into Kafka's own console producer, which gives them null keys."""
    command = [str(stack.tools / "kafka-console-producer"), "--bootstrap-server", f"127.0.0.1:{stack.ports.kafka}"]
    # Without --timeout it keeps records back for a second to fill its batches.
    command += ["--topic", "orders", "--timeout", "10"]
    producer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert producer.stdin is not None  # noqa: S101 - it is a pipe
    with progress_bar("sending", len(lines)) as advance:
        started = time.monotonic()
        for number, line in enumerate(lines, start=1):
            producer.stdin.write(line.value + b"\n")
            advance(number)
            if number % 50 == 0:
                producer.stdin.flush()
                time.sleep(max(0.0, started + number / _PACE - time.monotonic()))
        producer.stdin.close()
        if producer.wait(60):
            raise SystemExit("creditstream: kafka-console-producer failed; its words are above")


async def _reconcile(settings: Settings) -> tuple[Report, Latencies]:
    return await audit(settings, progress=True), await measure_latencies(settings)


def _result(lines: list[Line], report: Report, latencies: Latencies, seconds: float) -> dict[str, Any]:
    sent = Counter(line.kind for line in lines)
    letters = sum(report.dead_letters.values())
    accounted = (
        report.duplicates == sent["duplicate"]
        and report.conflicts == sent["conflict"]
        and letters == sent["conflict"] + sent["malformed"]
        and report.orders == sent["order"] == report.approved + report.rejected + report.under_review
    )
    return {
        "sent": len(lines),
        "sent_by_kind": dict(sent),
        "distinct": report.orders,
        "approved": report.approved,
        "rejected": report.rejected,
        "under_review": report.under_review,
        "duplicates": report.duplicates,
        "conflicts": report.conflicts,
        "dead_letters": letters,
        "dead_letters_by_reason": report.dead_letters,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "divergent": report.divergent,
        "orders_per_second": round(report.orders / seconds, 1),
        "latency_p50_ms": latencies.p50_ms,
        "latency_p99_ms": latencies.p99_ms,
        "examples": report.examples,
        "clean": report.clean and accounted,
    }


def _print(result: dict[str, Any]) -> None:
    table = Table(title="creditstream demo", show_header=False)
    for name, value in result.items():
        if name not in ("clean", "examples", "sent_by_kind", "dead_letters_by_reason"):
            text = f"{value:,}" if name != "latency_p50_ms" and name != "latency_p99_ms" else f"{value:,.0f}"
            table.add_row(name.replace("_", " "), text)
    console = Console()
    console.print(table)
    console.print(f"sent by kind: {result['sent_by_kind']}", highlight=False)
    console.print(f"dead letters by reason: {result['dead_letters_by_reason']}", highlight=False)
    console.print("every line is accounted for" if result["clean"] else f"NOT CLEAN: {result['examples']}")


def _line(name: str, text: str, last: bool) -> None:
    if last:
        print(f"{name:<10} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
