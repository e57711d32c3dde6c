"""The `forget` command's arguments and output. The customer's id is in neither what it prints nor what it logs."""

import sys

from creditstream.config.settings import Settings
from creditstream.operations.arguments import who
from creditstream.operations.forget.customer import customer_id
from creditstream.operations.forget.erasure import Forget, Forgotten, Found
from creditstream.operations.progress import progress_bars
from creditstream.store.maintenance import only_one

_NOTHING = (
    "creditstream: forget: nothing of this customer is there, no order and no dead letter: "
    "is the id exactly right, or was the customer forgotten before?"
)


async def run(settings: Settings, customer: str | None, *, by: str, wait: float, dry_run: bool) -> int:
    """The exit code: 1 when nothing was found, or something is left to do. Raises StartError or Unavailable.

    `customer`: None or `-` for standard input.
    """
    whose, trace = customer_id(customer), who(by)
    async with only_one(settings, "forget") as session:
        with progress_bars(shown=True) as bars:
            work = Forget(settings, session, whose, bars)
            if refusal := await work.refusal():
                print(f"creditstream: forget: {refusal}", file=sys.stderr)
                return 1
            found = await work.look()
            if found.nothing:
                print(_NOTHING, file=sys.stderr)
                return 1
            # Before anything is removed: what fails after it would look as if it had to be run again.
            left = await work.remains()
            done = None if dry_run else await work.run(trace, wait)
    _tell(found, done)
    for topic, hours in left.items():
        print(f"{topic}: older records of the customer stay until Kafka removes them: {hours}")
    return warn(found.undecided, done.unpublished if done else 0, done.behind if done else 0)


def _tell(found: Found, done: Forgotten | None) -> None:
    if done is None:
        print(f"would anonymise {found.orders} orders and blank {found.letters} dead letters")
    else:
        print(f"request {done.request}: {done.orders} orders anonymised, {done.letters} dead letters blanked")
    if found.waiting:
        print(f"{found.waiting} statuses of earlier requests were not published again yet")


def warn(undecided: int, unpublished: int, behind: int) -> int:
    """Say what is left to do. The exit code: 1 if something is."""
    if undecided:
        print(f"{undecided} orders of the customer are not decided yet: run this again when they are")
    if unpublished:
        print(f"{unpublished} statuses are not published again yet: run this again while workers run")
    if behind:
        print(
            f"{behind} records came before the workers knew, and are not decided yet: their dead letters may name the "
            "customer: run this again when they are"
        )
    return 1 if undecided or unpublished or behind else 0
