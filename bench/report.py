"""What the benchmark found: JSON, tables, a chart."""

import os
import platform
import statistics
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bench.burst import Measured
from bench.peers import PEERS_PYTHON, peers_versions

RESULTS = Path("bench/results")
_COLUMNS = {
    "orders_per_second": ("orders/s", ",.0f"),
    "cpu_us": ("CPU µs/order", ",.0f"),
    "p50_ms": ("p50 ms", ",.0f"),
    "p99_ms": ("p99 ms", ",.0f"),
    "rss_mb": ("peak RSS MB", ",.0f"),
    "risk_calls": ("risk calls/order", ".3f"),
    "transactions": ("DB writes/order", ".4f"),
}
_PACKAGES = ("faust-streaming", "aiokafka", "aiohttp", "httptools", "uvloop", "aiopg", "msgspec", "rocksdict")
_TITLES = {
    "creditstream": "creditstream",
    "handwritten": "loop written by hand (aiohttp)",
    "bare": "… with bare sockets",
    "guide": "Faust by its guide",
    "faststream": "FastStream",
    "quix": "Quix Streams",
}


def write_report(rounds: Mapping[int, Mapping[str, list[Measured]]], part: Mapping[str, Measured]) -> None:
    """bench/results/latest.json, latest.md and latest.svg; the tables on the terminal."""
    medians = {latency: {name: _median(taken) for name, taken in each.items()} for latency, each in rounds.items()}
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    save("latest", taken_at=taken_at, versions=_versions(), medians=medians, rounds=rounds, part_load=part)
    text = f"{taken_at}; {machine()}\n\n{_names(_versions())}\n"
    for latency in rounds:
        text += f"\nRisk API at {latency} ms\n\n{_markdown(medians[latency], rounds[latency])}"
    if part:
        text += f"\nPart load, risk API at 50 ms\n\n{_markdown(part, {})}"
    (RESULTS / "latest.md").write_text(text)
    (RESULTS / "latest.svg").write_text(chart(medians))
    print(text)


def save(name: str, **found: Any) -> None:
    """bench/results/`name`.json: what was found, and on which machine."""
    RESULTS.mkdir(exist_ok=True)
    result = msgspec.json.encode({"machine": machine(), **found})
    (RESULTS / f"{name}.json").write_bytes(msgspec.json.format(result, indent=2) + b"\n")


def saved(name: str) -> Any:
    """What `save` wrote."""
    return msgspec.json.decode((RESULTS / f"{name}.json").read_bytes())


def _median(taken: list[Measured]) -> Measured:
    return Measured(*(statistics.median(getattr(each, name) for each in taken) for name in _COLUMNS))


def _cells(name: str, each: Measured, to: Mapping[str, Measured]) -> list[str]:
    cells = [_TITLES.get(name, name)]
    cells += [format(getattr(each, column), form) for column, (_, form) in _COLUMNS.items()]
    cells += [f"{each.cpu_us / to[peer].cpu_us:.2f}" if peer in to else "–" for peer in ("handwritten", "guide")]
    return cells


_HEADS = ("", *(title for title, _ in _COLUMNS.values()), "CPU ÷ by hand", "CPU ÷ guide")


def _markdown(medians: Mapping[str, Measured], rounds: Mapping[str, list[Measured]]) -> str:
    lines = [_HEADS, ["---"] * len(_HEADS), *(_cells(name, each, medians) for name, each in medians.items())]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    for name, taken in rounds.items():
        rates = " / ".join(f"{each.orders_per_second:,.0f}" for each in taken)
        cpu = " / ".join(f"{each.cpu_us:,.0f}" for each in taken)
        text += f"\n{_TITLES.get(name, name)}, each round: {rates} orders/s, {cpu} µs.\n"
    return text


def machine() -> str:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES} | (peers_versions() if PEERS_PYTHON.exists() else {})


def _names(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def chart(medians: Mapping[int, Mapping[str, Measured]]) -> str:
    """Bars of the CPU per order, for the least latency that was measured."""
    latency = min(medians)
    bars = medians[latency]
    longest = max(each.cpu_us for each in bars.values())
    height = 40 + 30 * len(bars)
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="720" height="{height}" fill="#fff"/>',
        f'<text x="10" y="22" font-weight="bold">CPU per order, µs (risk API at {latency} ms)</text>',
    ]
    for number, (name, each) in enumerate(bars.items()):
        y, width = 36 + 30 * number, 400 * each.cpu_us / longest
        colour = "#1a7f5a" if name == "creditstream" else "#8a94a6"
        rows += [
            f'<text x="220" y="{y + 15}" text-anchor="end">{_TITLES.get(name, name)}</text>',
            f'<rect x="230" y="{y}" width="{width:.0f}" height="20" fill="{colour}"/>',
            f'<text x="{236 + width:.0f}" y="{y + 15}">{each.cpu_us:,.0f}</text>',
        ]
    return "\n".join([*rows, "</svg>"]) + "\n"
