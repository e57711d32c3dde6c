"""What is prepared before a run: the seed's alone, in the months that are meant, repeats of the same orders."""

from datetime import UTC, datetime

import pytest

from tests.chaos.history import KEPT_MONTHS, make_history, mixed, month_before, new_order, order_ids
from tests.chaos.verifier import content_of

NOW = datetime(2026, 3, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(("back", "month"), [(0, (2026, 3)), (3, (2025, 12)), (14, (2025, 1)), (15, (2024, 12))])
def test_months_are_counted_back(back: int, month: tuple[int, int]) -> None:
    assert month_before(NOW, back) == datetime(*month, 1, tzinfo=UTC)


def test_a_seed_makes_the_same_history_again() -> None:
    assert make_history(7, NOW) == make_history(7, NOW)
    assert make_history(7, NOW).lines != make_history(8, NOW).lines


def test_pairs_lie_before_the_window_and_their_repeats_are_of_the_month_that_is_remembered() -> None:
    history = make_history(7, NOW)
    for pair in history.pairs:
        for month, lines in ((pair.expiring, pair.expiring_lines), (pair.remembered, pair.remembered_lines)):
            assert month < month_before(NOW, KEPT_MONTHS)
            created = {content_of(line.value)[1][4] for line in lines}
            assert {(each.year, each.month) for each in created} == {(month.year, month.month)}
        assert not order_ids(pair.expiring_lines) & {line.order_id for line in history.repeats}
        assert content_of(new_order(pair.remembered, 7).value)[1][4].month == pair.remembered.month
    originals = dict(content_of(line.value) for line in history.lines if line.kind == "order")
    values = {line.value for line in history.lines}
    assert {line.kind for line in history.repeats} == {"duplicate", "conflict"}
    for line in history.repeats:
        order_id, content = content_of(line.value)
        assert line.value not in values
        assert (content == originals[order_id]) == (line.kind == "duplicate")


def test_repeats_are_mixed_into_the_load_and_nothing_is_lost() -> None:
    history = make_history(7, NOW)
    load = make_history(9, NOW).lines
    lines = mixed(load, history.repeats, 7)
    assert lines == mixed(load, history.repeats, 7)
    assert sorted(line.value for line in lines) == sorted(line.value for line in [*load, *history.repeats])
    assert [line for line in lines if line in set(load)] == load
