"""The `retention` command's output."""

import sys

from creditstream.config.settings import Settings
from creditstream.operations.progress import progress_bars
from creditstream.operations.retention.drop_months import Month, clean, cutoff_of, expired_months
from creditstream.operations.undisturbed import refuse_taken_back
from creditstream.store.maintenance import only_one


async def run(settings: Settings, *, dry_run: bool) -> int:
    """The exit code: 1 when a month could neither be dropped nor kept. Raises StartError or Unavailable."""
    if not settings.retention_months:
        print("CREDITSTREAM_RETENTION_MONTHS is 0: no month is dropped")
    async with only_one(settings, "retention") as session:
        await refuse_taken_back(settings, "retention")
        cutoff = await cutoff_of(session, settings)
        months = await expired_months(session, cutoff)
        for month in months:
            print(_line(month, dry_run=dry_run))
        if dry_run:
            return 0
        with progress_bars(shown=True) as bars:
            done = await clean(session, settings, cutoff, [month for month in months if month.goes], bars)
    for name, written in done.kept.items():
        print(f"{name}: kept after all, {written} of its orders were written since")
    for name, why in done.failed.items():
        print(f"creditstream: retention: {name}: neither dropped nor kept: {why}", file=sys.stderr)
    print(
        f"{len(done.months)} months dropped, {done.tombstones} orders removed from order-status, "
        f"{done.keys} ids deleted"
    )
    return 1 if done.failed else 0


def _line(month: Month, *, dry_run: bool) -> str:
    if not month.goes:
        return f"{month.name}: kept, {month.recent} of its {month.orders} orders were written since"
    undecided = f", {month.undecided} of them under review" if month.undecided else ""
    undecided += f", {month.for_a_person} of them waiting for a person" if month.for_a_person else ""
    return f"{month.name}: {'would drop' if dry_run else 'is to go:'} {month.orders} orders{undecided}"
