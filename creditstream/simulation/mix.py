"""PURE: a load as producers send it: orders, repeats of them, conflicts with them, and lines that are no orders."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

Kind = Literal["order", "duplicate", "conflict", "malformed"]

#: Product, smallest and largest amount in reais, terms in months. The shipped policy has a rule for each.
PRODUCTS: tuple[tuple[str, int, int, tuple[int, ...]], ...] = (
    ("personal_loan", 500, 50_000, (6, 12, 18, 24, 36, 48)),
    ("payroll_loan", 1_000, 120_000, (24, 36, 48, 60, 72, 84)),
    ("vehicle_financing", 15_000, 180_000, (24, 36, 48, 60)),
    ("mortgage", 80_000, 1_500_000, (120, 180, 240, 360, 420)),
    ("credit_card", 300, 20_000, (1, 3, 6, 12)),
    ("microcredit", 200, 5_000, (4, 6, 10, 12)),
)
_CHANNELS = ("app", "web", "agência", "correspondente")
_CUSTOMERS = 5_000
#: How ids of customers begin of whom the simulated risk API has no file.
NO_FILE = "nofile-"
#: Orders of one load are created within this time before its start.
SPAN = timedelta(minutes=10)

Fields = dict[str, Any]
Change = Callable[[random.Random, Fields], bytes]


class Line(NamedTuple):
    """One record's value, without a line break; `order_id` is None when the line is no order."""

    kind: Kind
    value: bytes
    order_id: UUID | None


def make_mix(
    orders: int,
    duplicates: int,
    conflicts: int,
    malformed: int,
    seed: int,
    *,
    no_file: int = 0,
    now: datetime | None = None,
) -> list[Line]:
    """The lines in the order in which they are sent. The same arguments give the same lines.

    A repeat or a conflict comes after its original. `now`: when the newest order may have been created; by default a
    fixed day. `no_file`: so many of the orders are of customers whom the bureau does not know.
    """
    if orders < 1 and (duplicates or conflicts):
        raise ValueError("duplicates and conflicts need an order to repeat")
    dice, newest = random.Random(seed), now or datetime(2025, 1, 15, 12, tzinfo=UTC)
    originals = [_order(dice, newest) for _ in range(orders)]
    for fields in random.Random(seed).sample(originals, no_file):
        fields["customer_id"] = NO_FILE + fields["customer_id"]
    placed = [(float(place), _line("order", fields)) for place, fields in enumerate(originals)]
    placed += _again(dice, originals, duplicates, conflicts)
    placed += [(dice.uniform(0, orders), _spoiled(dice, newest, number)) for number in range(malformed)]
    return [line for _, line in sorted(placed, key=lambda entry: entry[0])]


def _again(
    dice: random.Random, originals: Sequence[Fields], duplicates: int, conflicts: int
) -> Iterator[tuple[float, Line]]:
    """Where an order comes again, and as what."""
    orders = len(originals)
    changes: tuple[tuple[Kind, int, Change], ...] = (
        ("duplicate", duplicates, _repeat),
        ("conflict", conflicts, _contradict),
    )
    repeated: set[int] = set()
    for kind, count, change in changes:
        # Repeated or contradicted, not both: whichever record is taken first, there are as many of each outcome.
        free = [place for place in range(orders) if kind == "duplicate" or place not in repeated] or range(orders)
        for _ in range(count):
            place = dice.choice(free)
            if kind == "duplicate":
                repeated.add(place)
            value = change(dice, originals[place])
            # Any distance after the original: mostly near, where it meets the original still in flight.
            after = place + min(dice.expovariate(1 / 50), orders - place) + 0.5
            yield after, Line(kind, value, UUID(originals[place]["order_id"]))


def _order(dice: random.Random, newest: datetime) -> Fields:
    product, least, most, terms = dice.choice(PRODUCTS)
    cents = dice.choice((0, 0, 0, dice.randrange(100)))
    created_at = newest - SPAN * dice.random()
    return {
        "order_id": str(UUID(int=dice.getrandbits(128), version=4)),
        "customer_id": f"c-{dice.randrange(1, _CUSTOMERS):04}",
        "amount": f"{dice.randrange(least, most, 50)}.{cents:02}",
        "term_months": dice.choice(terms),
        "product": product,
        "created_at": created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "metadata": {"channel": dice.choice(_CHANNELS), "trace": f"{dice.getrandbits(64):016x}"},
    }


def _line(kind: Kind, fields: Fields) -> Line:
    return Line(kind, _dump(fields), UUID(fields["order_id"]))


def _spoiled(dice: random.Random, newest: datetime, number: int) -> Line:
    return Line("malformed", _SPOILED[number % len(_SPOILED)](dice, _order(dice, newest)), None)


def _dump(fields: Fields, separators: tuple[str, str] = (",", ":")) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=separators).encode()


def _repeat(dice: random.Random, fields: Fields) -> bytes:
    """The same order as another producer, or the same one's next try, would write it."""
    return dice.choice(_REPEATS)(dice, dict(fields))


_REPEATS: tuple[Change, ...] = (
    lambda dice, fields: _dump(fields),
    lambda dice, fields: _dump(fields, separators=(" , ", " : ")),
    lambda dice, fields: _dump(dict(reversed(fields.items()))),
    lambda dice, fields: _dump(fields | {"metadata": {"channel": "app", "trace": f"{dice.getrandbits(64):016x}"}}),
    lambda dice, fields: _dump({name: value for name, value in fields.items() if name != "metadata"}),
    lambda dice, fields: _dump(fields | {"order_id": fields["order_id"].upper()}),
    lambda dice, fields: _dump(fields | {"created_at": fields["created_at"].replace("Z", "+00:00")}),
    lambda dice, fields: _dump(fields).replace(b'"amount":"' + fields["amount"].encode() + b'"', _number(fields)),
)


def _number(fields: Fields) -> bytes:
    return f'"amount":{fields["amount"]}'.encode()


def _contradict(dice: random.Random, fields: Fields) -> bytes:
    """The same id with another amount."""
    whole, _, cents = fields["amount"].partition(".")
    return _dump(fields | {"amount": f"{int(whole) + dice.randrange(1, 1_000)}.{cents}"})


def _without(name: str) -> Change:
    return lambda dice, fields: _dump({key: value for key, value in fields.items() if key != name})


def _with(**changes: object) -> Change:
    return lambda dice, fields: _dump(fields | changes)


#: Every way in which one line can fail to be an order; each kind is taken in turn.
_SPOILED: tuple[Change, ...] = (
    lambda dice, fields: b"not json",
    lambda dice, fields: _dump(fields)[:-7],
    lambda dice, fields: _dump(fields) + b" }",
    lambda dice, fields: _dump(fields).replace(b'"', b"'"),
    lambda dice, fields: b"[" + _dump(fields) + b"]",
    lambda dice, fields: b"null",
    lambda dice, fields: b'"' + fields["order_id"].encode() + b'"',
    lambda dice, fields: b"\xff\xfe" + _dump(fields),
    lambda dice, fields: _dump(fields)[:-1] + b',"amount":"1.00"}',
    lambda dice, fields: _dump(fields | {"amount": None}).replace(b"null", b"NaN"),
    lambda dice, fields: b"<order>" + fields["order_id"].encode() + b"</order>",
    _without("order_id"),
    _without("customer_id"),
    _without("amount"),
    _without("term_months"),
    _without("product"),
    _without("created_at"),
    _with(order_id="7b0c0a52-6d0e"),
    _with(order_id=12),
    _with(customer_id=""),
    _with(customer_id="c\u0000"),
    _with(amount="NaN"),
    _with(amount="Infinity"),
    _with(amount="-1500.00"),
    _with(amount="0.00"),
    _with(amount="1.234"),
    _with(amount="1000000000000.00"),
    _with(amount="1.500,00"),
    _with(term_months=0),
    _with(term_months=12.5),
    _with(term_months="12"),
    _with(product=None),
    _with(created_at="2026-11-23T12:00:00"),
    _with(created_at="23/11/2026"),
    _with(created_at="1999-12-31T23:59:59Z"),
    _with(created_at="2099-01-01T00:00:00Z"),
    _with(metadata=[]),
)
MALFORMED_KINDS = len(_SPOILED)
