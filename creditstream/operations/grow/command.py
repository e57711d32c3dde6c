"""The `grow` command's output."""

import sys

from creditstream.config.settings import Settings
from creditstream.operations.grow.growth import grow, plan_growth


async def run(settings: Settings, partitions: int, *, wait: float, dry_run: bool) -> int:
    """The exit code. Raises StartError or Unavailable."""
    if dry_run:
        plan = await plan_growth(settings, partitions)
        again = ", which an earlier run has begun" if plan.resumed else ""
        print(f"would go from {plan.before} to {plan.after} partitions{again}; all workers have to be stopped for it")
        return 0
    done = await grow(settings, partitions, wait=wait, say=lambda text: print(text, file=sys.stderr))
    if done is None:
        print(f"all topics have {partitions} partitions already")
        return 0
    print(
        f"from {done.plan.before} to {done.plan.after} partitions in {done.seconds:.1f} s; "
        f"{done.marks} marks and {done.statuses} statuses stand on their new partitions. Start the workers again."
    )
    return 0
