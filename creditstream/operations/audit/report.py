"""The result of an audit, for programs and for people."""

import io
from collections.abc import Mapping

import msgspec
from rich.console import Console
from rich.table import Table

from creditstream.operations.audit.buckets import Judged

FAULTS = ("lost", "duplicated", "divergent")
_COUNTS = ("records", "orders", "approved", "rejected", "under_review", "duplicates", "conflicts", "on_the_way")
_EXAMPLES = 20


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Counts; `examples` has for each fault the first twenty, by ids and offsets only.

    `records` are those on the orders topic; `orders` the distinct ids among them; `approved`, `rejected` and
    `under_review` the rows; `duplicates` the records that repeat a row's order; `conflicts` those with another content;
    `on_the_way` the records without an outcome that the group has not passed; `dead_letters` by reason, each origin
    counted once; `lost` the records without an outcome, and the orders that nobody decides any more; `duplicated` the
    ids with two rows or two decisions; `divergent` the ids whose row and status records disagree.
    """

    records: int
    orders: int
    approved: int
    rejected: int
    under_review: int
    duplicates: int
    conflicts: int
    on_the_way: int
    dead_letters: dict[str, int]
    lost: int
    duplicated: int
    divergent: int
    examples: dict[str, list[str]]
    clean: bool


def report(judged: Judged, dead_letters: Mapping[str, int]) -> Report:
    """From all that was judged."""
    faults: dict[str, list[str]] = {name: [] for name in FAULTS}
    totals = dict.fromkeys(FAULTS, 0)
    for fault in sorted(judged.faults, key=lambda fault: fault.where):
        totals[fault.kind] += fault.records
        if len(faults[fault.kind]) < _EXAMPLES:
            faults[fault.kind].append(f"{fault.where}: {fault.what}")
    return Report(
        **{name: judged.counts.get(name, 0) for name in _COUNTS},
        dead_letters=dict(dead_letters),
        **totals,
        examples={name: examples for name, examples in faults.items() if examples},
        clean=not any(totals.values()),
    )


def render(report: Report, *, as_json: bool) -> str:
    """One JSON object on one line, or a table."""
    if as_json:
        return msgspec.json.encode(report).decode()
    table = Table(title="Reconciliation", show_header=False)
    table.add_column("what")
    table.add_column("count", justify="right")
    for name in _COUNTS:
        table.add_row(name.replace("_", " "), f"{getattr(report, name):,}")
    table.add_row("dead letters", f"{sum(report.dead_letters.values()):,}")
    for reason, count in report.dead_letters.items():
        table.add_row(f"  {reason}", f"{count:,}", style="dim")
    for name in FAULTS:
        table.add_row(name, f"{getattr(report, name):,}", style="red" if getattr(report, name) else "green")
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(table)
        for name in FAULTS:
            for example in report.examples.get(name, []):
                console.print(f"{name}: {example}", markup=False, highlight=False)
        console.print("clean" if report.clean else "NOT clean", highlight=False)
    return captured.get().rstrip()
