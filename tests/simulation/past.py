"""PURE: orders that were decided long before a world begins, and what comes of them in its load."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from creditstream.simulation.mix import Line, make_mix
from schemas.order import decode_order
from schemas.status import Row
from tests.chaos.evidence import MODEL_VERSION
from tests.chaos.history import hash_of, month_before
from tests.chaos.verify_decisions import decision_of, read_policies
from tests.simulation.clocks import BEGINNING

#: Months back. Dropped three months ago, and its ids are there.
REMEMBERED = 24
#: Before the window.
EXPIRED = (20, 16)
#: Before the window but written lately, and within the window: neither may go.
STAYING = (14, 3)
#: The settings by which that is so.
KEPT = {"retention_months": 12, "retention_keys_months": 1}
DROPPED_BEFORE = timedelta(days=90)
_ORDERS = 6
_MOST_SCORE = 1_000
#: Of the orders of these months some are not in the load before: new to everybody.
_NEW_IN = (REMEMBERED, EXPIRED[1], STAYING[0])


class Old(NamedTuple):
    """One order. `back`: months; `is_marked`: the workers' tables know it still."""

    line: Line
    row: Row
    back: int
    is_marked: bool


def make_past(seed: int) -> list[Old]:
    dice = random.Random(seed ^ 0x01D)
    return [
        _old(dice, line, back)
        for back in (REMEMBERED, *EXPIRED, *STAYING)
        for line in _lines(seed, back, "old", _ORDERS)
    ]


def make_repeats(seed: int) -> list[Line]:
    """Of the past's orders, repeated and contradicted, and of orders that nobody has seen, created as long ago."""
    dice = random.Random(seed ^ 0x0A6)
    lines = [line for old in make_past(seed) for line in _again(dice, old.line)]
    lines += [line for back in _NEW_IN for line in _lines(seed, back, "new", 1)]
    dice.shuffle(lines)
    return lines


def moment_before(months: int) -> datetime:
    """In the middle of that month."""
    return month_before(datetime.fromtimestamp(BEGINNING, UTC), months) + timedelta(days=14)


def _lines(seed: int, back: int, what: str, count: int) -> list[Line]:
    return make_mix(count, 0, 0, 0, seed=hash_of(seed, back, what), now=moment_before(back))


def _again(dice: random.Random, line: Line) -> Iterator[Line]:
    if dice.random() < 0.6:
        yield line._replace(kind="duplicate")
    if dice.random() < 0.2:
        value: dict[str, Any] = json.loads(line.value) | {"amount": "77.77"}
        yield Line("conflict", json.dumps(value).encode(), line.order_id)


def _old(dice: random.Random, line: Line, back: int) -> Old:
    """Decided when it came; of the month that was written lately, three days ago."""
    order = decode_order(line.value, latest=datetime.fromtimestamp(BEGINNING, UTC), max_bytes=len(line.value))
    [(policy_version, rules)] = read_policies().items()
    score = dice.randrange(_MOST_SCORE)
    status, reason = decision_of(score, Decimal(order.amount), rules.get(order.product, rules.get("")))
    lately = datetime.fromtimestamp(BEGINNING, UTC) - timedelta(days=3)
    row = Row(
        **{name: getattr(order, name) for name in ("order_id", "customer_id", "amount", "term_months", "product")},
        status=status,  # type: ignore[arg-type]  # one of its words
        score=score,
        reason=reason,
        model_version=MODEL_VERSION,
        policy_version=policy_version,
        created_at=order.created_at,
        updated_at=lately if back == STAYING[0] else order.created_at + timedelta(seconds=1),
        version=1,
        fingerprint=order.fingerprint(),
    )
    return Old(line, row, back, is_marked=back != REMEMBERED and dice.random() < 0.6)
