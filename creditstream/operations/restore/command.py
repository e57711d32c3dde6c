"""The `restore` command: the whole of it, and what it says."""

from collections import Counter

from rich.progress import Progress

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.operations.progress import progress_bars
from creditstream.operations.restore.metadata import bring_back_metadata
from creditstream.operations.restore.restoring import Done, Statuses
from creditstream.store.maintenance import Maintenance, only_one

#: A worker that notices only now what was lost publishes what it had committed: it is read again then.
_ROUNDS = 10


async def run(settings: Settings, *, dry_run: bool) -> int:
    """The exit code. Raises StartError or Unavailable."""
    async with only_one(settings, "restore") as session:
        if not await session.value("try_only_one", {"what": "retention"}):
            raise StartError("`retention` or `forget` is at work on this database: run it again when that is done")
        with progress_bars(shown=True) as bars:
            done = await restore(settings, session, bars, dry_run=dry_run)
    for line in told(done, dry_run=dry_run):
        print(line)
    return 0


async def restore(settings: Settings, session: Maintenance, bars: Progress, *, dry_run: bool) -> Done:
    """On a session that holds the advisory locks. Broken off, it is run again. Raises StartError or Unavailable."""
    if dry_run:
        statuses = Statuses(settings, session, bars, dry_run=True)
        await statuses.run()
        return Done(**statuses.counts)
    total: Counter[str] = Counter()
    for _ in range(_ROUNDS):
        reports = await session.json("restore_reports")
        statuses = Statuses(settings, session, bars, dry_run=False)
        await statuses.run()
        if await session.value("restore_lacks_metadata"):
            await bring_back_metadata(settings, session, bars)
        await _end(session, statuses, [*reports, *filter(None, [statuses.report])], total)
        if not await session.json("restore_reports"):
            return Done(**total)
    raise StartError("workers go on noticing that commits are missing: is PostgreSQL taken back again and again?")


async def _end(session: Maintenance, statuses: Statuses, reports: list[object], total: Counter[str]) -> None:
    """What this round has written is counted, and workers go on."""
    total.update(await session.json("restore_counts"))
    total.update(statuses.counts)
    await session.value("restore_end", {"reports": "{" + ",".join(map(str, reports)) + "}"})
    await statuses.publish_again()


def told(done: Done, *, dry_run: bool) -> list[str]:
    """PURE: for people."""
    if done.nothing:
        return ["PostgreSQL has all that was published: nothing is to be restored"]
    if dry_run:
        what = "would restore {} orders, bring {} to the state that was published, remove {} that went with their month"
    else:
        what = "{} orders restored, {} brought to the state that was published, {} removed that went with their month"
    lines = [what.format(done.restored, done.newer, done.removed)]
    if done.twice:
        lines.append(f"{done.twice} orders were written in two ways: what was decided and published first stays")
    if done.no_metadata:
        lines.append(f"{done.no_metadata} orders have no metadata: Kafka does not have them any more as they were sent")
    if done.no_reasons:
        lines.append(f"{done.no_reasons} orders have no reasons of the risk API: these are not published")
    return lines
