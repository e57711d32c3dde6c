"""The result of a run, for people and for programs."""

import platform
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from devtools.stack.jars import VERSION as KAFKA
from tests.chaos.evidence import Books, Operation, Verdict
from tests.chaos.schedule import Planned


@dataclass
class Result:
    """`failures`: what else must not happen (a worker that ends by itself, no rest at the end). Times in seconds.

    `pauses`: of each other worker when one is added. `operations`: what operators did, `removed` what went with it.
    """

    seed: int
    minutes: float
    brokers: int
    workers: int
    faults: list[str]
    seconds: float
    settled_in: float
    unsure: int
    producers: dict[str, int]
    recoveries: dict[str, list[float]]
    verdict: Verdict
    previous: str = ""
    failures: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    books: Books | None = field(default=None, repr=False)

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.failures

    @property
    def orders_per_second(self) -> float:
        return self.verdict.orders / (self.seconds + self.settled_in)

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(replace(self, books=None)),
            "verdict": self.verdict.as_dict(),
            "faults": dict(Counter(self.faults)),
            "operations": [operation._asdict() for operation in self.operations],
            "pause": _percentiles(self.pauses) | {"max": round(max(self.pauses), 1)} if self.pauses else {},
            "recovery": {kind: _percentiles(times) for kind, times in self.recoveries.items()},
            "orders_per_second": round(self.orders_per_second, 1),
            "versions": versions(),
            "clean": self.clean,
        }


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("faust-streaming", "aiokafka", "aiopg")}
    return {"python": platform.python_version(), "kafka": KAFKA, **packages}


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return {"p50": round(statistics.median(ordered), 1), "p95": round(high, 1)}


def schedule_text(planned: Sequence[Planned]) -> str:
    return "\n".join(
        f"{each.at:7.1f} s  {each.kind.lane:<8} {each.kind.name:<20} {each.hold:g} s, pick {each.pick:.2f}"
        for each in planned
    )


def render(console: Console, result: Result) -> None:
    beside = f", beside {result.previous}" if result.previous else ""
    faults = Table(title=f"Faults (seed {result.seed}, {result.minutes:g} minutes, {result.brokers} broker{beside})")
    for name in ("fault", "times", "recovery p50 s", "p95 s"):
        faults.add_column(name, justify="left" if name == "fault" else "right")
    for kind, times in sorted(Counter(result.faults).items()):
        recovery: Mapping[str, float] = _percentiles(result.recoveries[kind]) if result.recoveries.get(kind) else {}
        faults.add_row(kind, str(times), f"{recovery.get('p50', '-')}", f"{recovery.get('p95', '-')}")
    console.print(faults)
    if result.operations:
        _render_operations(console, result)
    _render_books(console, result)
    for kind, examples in result.verdict.examples.items():
        for example in examples[:5]:
            console.print(f"{kind}: {example}", markup=False, highlight=False)
    for failure in result.failures:
        console.print(f"failure: {failure}", markup=False, highlight=False)
    console.print("clean" if result.clean else f"NOT clean: seed {result.seed} replays the schedule", highlight=False)


def _render_operations(console: Console, result: Result) -> None:
    table = Table(title="Operations")
    for name in ("what", "tries", "s", "said"):
        table.add_column(name, justify="right" if name in ("tries", "s") else "left")
    for operation in result.operations:
        table.add_row(operation.name, str(operation.tries), f"{operation.seconds:.1f}", operation.said)
    console.print(table)


def _render_books(console: Console, result: Result) -> None:
    table = Table(title="Books", show_header=False)
    verdict = result.verdict
    for name in ("records", "orders", "duplicates", "conflicts", "malformed"):
        table.add_row(name, f"{getattr(verdict, name):,}")
    for name, count in result.removed.items():
        table.add_row(f"on purpose: {name}", f"{count:,}")
    table.add_row("sent again", f"{result.unsure:,}")
    table.add_row("orders/s", f"{result.orders_per_second:,.0f}")
    table.add_row("settled in", f"{result.settled_in:.0f} s")
    if result.pauses:
        pauses = _percentiles(result.pauses)
        table.add_row("others' pause at an add", f"p50 {pauses['p50']} s, longest {max(result.pauses):.1f} s")
    for name in Verdict.FAULTS:
        count = getattr(verdict, name)
        table.add_row(name.replace("_", " "), f"{count:,}", style="red" if count else "green")
    table.add_row("extra risk calls", f"{verdict.extra_calls:,} (allowed {verdict.allowed_calls:,})")
    table.add_row("worker failures", f"{len(result.failures)}", style="red" if result.failures else "green")
    console.print(table)
