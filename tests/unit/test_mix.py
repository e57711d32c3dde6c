"""The mix is what it says: the product's own decoder takes the orders and refuses the rest."""

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditstream.simulation.mix import MALFORMED_KINDS, NO_FILE, Line, make_mix
from schemas.order import InvalidOrder, Order, decode_order

counts = st.integers(0, 40)


def decoded(line: Line) -> Order:
    return decode_order(line.value, latest=datetime(2027, 1, 1, tzinfo=UTC), max_bytes=262_144)


@settings(max_examples=50)
@given(st.integers(1, 60), counts, counts, counts, st.integers())
def test_has_what_was_asked_for(orders: int, duplicates: int, conflicts: int, malformed: int, seed: int) -> None:
    lines = make_mix(orders, duplicates, conflicts, malformed, seed)
    asked = {"order": orders, "duplicate": duplicates, "conflict": conflicts, "malformed": malformed}
    assert Counter(line.kind for line in lines) == Counter(asked)
    assert len({line.order_id for line in lines if line.kind == "order"}) == orders
    assert lines == make_mix(orders, duplicates, conflicts, malformed, seed)


@settings(max_examples=50)
@given(st.integers(1, 60), counts, counts, counts, st.integers())
def test_each_line_is_of_its_kind(orders: int, duplicates: int, conflicts: int, malformed: int, seed: int) -> None:
    seen: dict[UUID, bytes] = {}
    for line in make_mix(orders, duplicates, conflicts, malformed, seed):
        assert b"\n" not in line.value and b"\r" not in line.value
        assert line.value.strip()
        if line.kind == "malformed":
            assert line.order_id is None
            with pytest.raises(InvalidOrder):
                decoded(line)
            continue
        order = decoded(line)
        assert order.order_id == line.order_id
        assert order.order_id.version == 4
        if line.kind == "order":
            seen[order.order_id] = order.fingerprint()
        else:  # its original came before
            assert (seen[order.order_id] == order.fingerprint()) == (line.kind == "duplicate")


@pytest.mark.parametrize("number", range(MALFORMED_KINDS))
def test_every_malformed_kind_is_refused(number: int) -> None:
    lines = [line for line in make_mix(1, 0, 0, MALFORMED_KINDS, number) if line.kind == "malformed"]
    assert len({line.value for line in lines}) > MALFORMED_KINDS - 3
    with pytest.raises(InvalidOrder):
        decoded(lines[number])


def test_some_customers_have_no_file_and_the_rest_is_as_without_them() -> None:
    plain, some = make_mix(40, 10, 10, 5, 6), make_mix(40, 10, 10, 5, 6, no_file=7)
    assert len([line for line in some if line.kind == "order" and NO_FILE.encode() in line.value]) == 7
    assert [line.value.replace(NO_FILE.encode(), b"") for line in some if line.kind == "order"] == [
        line.value for line in plain if line.kind == "order"
    ]


def test_seeds_differ() -> None:
    assert make_mix(10, 0, 0, 0, 1) != make_mix(10, 0, 0, 0, 2)


def test_duplicates_come_in_more_than_one_spelling() -> None:
    lines = make_mix(1, 200, 0, 0, 3)
    assert len({line.value for line in lines}) > 6


def test_repeats_need_something_to_repeat() -> None:
    with pytest.raises(ValueError, match="need an order"):
        make_mix(0, 1, 0, 0, 1)
