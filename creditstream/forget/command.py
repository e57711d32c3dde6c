"""The `forget` command's arguments and output. The customer's id is on the command line, and nowhere else."""

import getpass

from creditstream.dlq.books import progress_bars
from creditstream.errors import StartError
from creditstream.forget.work import Forget
from creditstream.settings import Settings
from creditstream.store.maintenance import only_one
from schemas.status import FORGOTTEN_CUSTOMER


async def run(settings: Settings, customer: str, *, by: str, wait: float, dry_run: bool) -> int:
    """The exit code: 1 when something is left to do. Raises StartError or Unavailable."""
    if not customer or customer == FORGOTTEN_CUSTOMER or "\0" in customer:
        raise StartError("forget --customer: no customer has such an id")
    async with only_one(settings, "forget") as session:
        with progress_bars(shown=True) as bars:
            work = Forget(settings, session, customer, bars)
            found = await work.look()
            done = None if dry_run else await work.run(by or getpass.getuser(), wait)
        left = await work.remains()
    if done is None:
        print(f"would anonymise {found.orders} orders and blank {found.letters} dead letters")
    else:
        print(f"request {done.request}: {done.orders} orders anonymised, {done.letters} dead letters blanked")
    for topic, hours in left.items():
        print(f"{topic}: older records of the customer stay until Kafka removes them: {hours}")
    return _warn(found.undecided, done.unpublished if done else 0)


def _warn(undecided: int, unpublished: int) -> int:
    if undecided:
        print(f"{undecided} orders of the customer are not decided yet: run this again when they are")
    if unpublished:
        print(f"{unpublished} statuses are not published anew yet: run this again while workers run")
    return 1 if undecided or unpublished else 0
