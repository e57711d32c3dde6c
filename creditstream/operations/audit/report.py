"""The result of an audit, for programs and for people."""

import io

import msgspec
from rich.console import Console
from rich.table import Table

FAULTS = ("lost", "duplicated", "divergent")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Counts; `examples` has for each fault the first twenty, by ids and offsets only.

    `records` are those on the orders topic; `orders` the distinct ids among them; `approved`, `rejected` and
    `under_review` the rows; `duplicates` the records that repeat a row's order; `conflicts` those with another content;
    `dead_letters` by reason, each origin counted once; `lost` the records without an outcome; `duplicated` the ids with
    two rows or two decisions; `divergent` the ids whose row and status records disagree.
    """

    records: int
    orders: int
    approved: int
    rejected: int
    under_review: int
    duplicates: int
    conflicts: int
    dead_letters: dict[str, int]
    lost: int
    duplicated: int
    divergent: int
    examples: dict[str, list[str]]
    clean: bool


def render(report: Report, *, as_json: bool) -> str:
    """One JSON object on one line, or a table."""
    if as_json:
        return msgspec.json.encode(report).decode()
    table = Table(title="Reconciliation", show_header=False)
    table.add_column("what")
    table.add_column("count", justify="right")
    for name in ("records", "orders", "approved", "rejected", "under_review", "duplicates", "conflicts"):
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
