"""An operator's command with one known fault put in: `python -m tests.chaos.mutated_command FAULT retention`.

For `python -m tests.chaos.runner --mutate FAULT`: the run must not be clean then.
"""

import sys
from collections.abc import Callable
from typing import Any

import creditstream.operations.retention.drop_months
from creditstream import app
from creditstream.operations.forget.erasure import Forget
from creditstream.operations.grow.repartition import Repartition
from creditstream.operations.retention.drop_months import Month
from tests.chaos.operations import MUTATIONS
from tests.chaos.put_in import put_in


def recent_months_go() -> None:
    """A month before the window goes although its rows were written lately."""
    put_in(Month, "goes", property(lambda self: True))


def no_tombstones() -> None:
    """The orders of a dropped month stay on order-status."""

    async def publish(*_: Any) -> int:
        return 0

    put_in(creditstream.operations.retention.drop_months, "_publish", publish)


def statuses_not_copied() -> None:
    """Growth removes what stood before, and every other copy was never written."""
    publish = Repartition._publish

    async def half(self: Repartition, topic: str, records: Any) -> None:
        await publish(self, topic, list(records)[::2])

    put_in(Repartition, "_publish", half)


def letters_not_blanked() -> None:
    """A forgotten customer's letters keep what he sent."""

    async def blank(*_: Any) -> int:
        return 0

    put_in(Forget, "_blank_letters", blank)


FAULTS: dict[str, Callable[[], None]] = {
    "recent_months_go": recent_months_go,
    "no_tombstones": no_tombstones,
    "statuses_not_copied": statuses_not_copied,
    "letters_not_blanked": letters_not_blanked,
}
assert tuple(FAULTS) == MUTATIONS


def main() -> None:
    FAULTS[sys.argv.pop(1)]()
    app.main()


if __name__ == "__main__":
    main()
