"""What is there before a run: orders of months that retention will drop and of months that stay, and customers who
will ask to be forgotten."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from creditstream.simulation.mix import Line, make_mix

#: CREDITSTREAM_RETENTION_MONTHS and …_KEYS_MONTHS of the run's commands.
KEPT_MONTHS, KEPT_KEYS_MONTHS = 12, 1
#: Months back. Of a pair, the ids of the first are deleted too; those of the second stay, and repeats of it come.
_PAIRS = ((20, 19), (18, 17), (16, 15))
#: Before the window but written in this run, and within the window: neither may go.
_STAYING = (14, 3)
_ORDERS = 30
_CUSTOMERS = ("gone-1", "gone-2", "gone-3")
_CUSTOMER_ORDERS = 6


@dataclass
class Pair:
    """Two months that are dropped together, as their first moments, and their orders."""

    expiring: datetime
    remembered: datetime
    expiring_lines: list[Line]
    remembered_lines: list[Line]


@dataclass
class History:
    """`pairs` and `customers` are taken from the front by the faults. `repeats`: lines to mix into the load."""

    pairs: list[Pair]
    customers: list[str]
    lines: list[Line]
    repeats: list[Line]


def make_history(seed: int, now: datetime) -> History:
    """The same arguments give the same lines."""
    pairs = [_pair(seed, now, back) for back in _PAIRS]
    staying = [line for back in _STAYING for line in _orders(seed, month_before(now, back))]
    theirs = [line for customer in _CUSTOMERS for line in _customer_lines(seed, customer, now)]
    old = [line for pair in pairs for line in (*pair.expiring_lines, *pair.remembered_lines)]
    repeated = [line for pair in pairs for line in pair.remembered_lines]
    again = [*repeated, *staying, *(line for line in theirs if line.kind == "order")]
    return History(
        pairs,
        list(_CUSTOMERS),
        old + staying + theirs,
        [Line("duplicate", _repeated(line.value), line.order_id) for line in again] + _contradicting(repeated),
    )


def month_before(now: datetime, months: int) -> datetime:
    """The first moment of the month so many before this one."""
    number = now.year * 12 + now.month - 1 - months
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def new_order(month: datetime, seed: int) -> Line:
    """One that nobody has seen, of an old month."""
    return make_mix(1, 0, 0, 0, seed=hash_of(seed, "new", month), now=month.replace(day=20))[0]


def mixed(lines: list[Line], repeats: list[Line], seed: int) -> list[Line]:
    """The load with the repeats of what was before it at random places."""
    dice = random.Random(f"{seed} repeats")
    placed = [(float(place), line) for place, line in enumerate(lines)]
    placed += [(dice.uniform(0, len(lines)), line) for line in repeats]
    return [line for _, line in sorted(placed, key=lambda entry: entry[0])]


def hash_of(*parts: object) -> int:
    return random.Random(" ".join(map(str, parts))).getrandbits(48)


def _pair(seed: int, now: datetime, back: tuple[int, int]) -> Pair:
    first, second = (month_before(now, months) for months in back)
    return Pair(first, second, _orders(seed, first), _orders(seed, second))


def _orders(seed: int, month: datetime) -> list[Line]:
    return make_mix(_ORDERS, 0, 0, 0, seed=hash_of(seed, month), now=month.replace(day=15))


def _customer_lines(seed: int, customer: str, now: datetime) -> list[Line]:
    """Orders, one in conflict, and a line that is none but names him: all that may hold his id."""
    lines = make_mix(_CUSTOMER_ORDERS, 0, 1, 0, seed=hash_of(seed, customer), now=now)
    theirs = [line._replace(value=_changed(line.value, customer_id=customer)) for line in lines]
    return [*theirs, Line("malformed", f'{{"customer_id": "{customer}", broken'.encode(), None)]


def _contradicting(lines: list[Line]) -> list[Line]:
    """Of each third."""
    return [Line("conflict", _changed(line.value, amount="77.77"), line.order_id) for line in lines[::3]]


def _repeated(value: bytes) -> bytes:
    """Other bytes, the same order: what the sender meant by a value must be plain from the value."""
    return json.dumps(json.loads(value), ensure_ascii=False, separators=(", ", ":")).encode()


def _changed(value: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(value) | changes, ensure_ascii=False, separators=(",", ":")).encode()


def order_ids(lines: list[Line]) -> set[UUID]:
    return {line.order_id for line in lines if line.kind == "order" and line.order_id}
