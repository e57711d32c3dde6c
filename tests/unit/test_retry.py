"""When an order that could not be scored is tried again, and when it is given up."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from creditstream.order.record import Turn
from creditstream.order.retry import RetryRule

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULE = RetryRule(delay=30, max_turns=3, max_age=100)


def test_each_turn_comes_after_the_delay_and_remembers_the_first_failure() -> None:
    first = RULE.next_turn(Turn(), NOW, 0.0)
    assert first == Turn(1, NOW, NOW + timedelta(seconds=30))
    later = NOW + timedelta(seconds=40)
    assert RULE.next_turn(first, later, 0.0) == Turn(2, NOW, later + timedelta(seconds=30))


def test_after_the_last_turn_it_is_given_up() -> None:
    assert RULE.next_turn(Turn(2, NOW, NOW), NOW, 0.0).due is not None
    assert RULE.next_turn(Turn(3, NOW, NOW), NOW, 0.0).due is None


def test_a_turn_that_would_come_after_the_largest_age_is_given_up() -> None:
    assert RULE.next_turn(Turn(1, NOW, NOW), NOW + timedelta(seconds=70), 0.0).due is not None
    assert RULE.next_turn(Turn(1, NOW, NOW), NOW + timedelta(seconds=71), 0.0).due is None


def test_the_delay_doubles_up_to_the_longest_plus_up_to_half() -> None:
    rule = RetryRule(30, 20, 1e6, 200, dice=lambda: 0.0)
    waits = [rule._wait(turn, 0.0) for turn in range(5)]
    assert waits == [30, 60, 120, 200, 200]
    assert [rule._replace(dice=lambda: 1.0)._wait(turn, 0.0) for turn in range(5)] == [1.5 * wait for wait in waits]
    assert RULE._wait(19, 0.0) == 30, "without a longest it stays as it is"


def test_an_api_that_asks_for_nothing_is_left_alone_for_the_delay() -> None:
    assert RetryRule(0.5, 3, 100).next_turn(Turn(), NOW, 0.0).due == NOW + timedelta(seconds=0.5)


def test_what_the_api_asks_for_is_waited_for_within_reason() -> None:
    rule = RetryRule(30, 20, 1e6, 3_600)
    assert rule.next_turn(Turn(), NOW, retry_after=600).due == NOW + timedelta(seconds=600)
    assert rule.next_turn(Turn(), NOW, retry_after=5).due == NOW + timedelta(seconds=30)
    assert rule.next_turn(Turn(), NOW, retry_after=1e300).due == NOW + timedelta(seconds=3_600)


@given(st.integers(0, 10_000), st.floats(0, allow_infinity=False), st.floats(0, 1))
def test_no_wait_is_shorter_than_the_delay_or_endless(turns: int, retry_after: float, dice: float) -> None:
    rule = RetryRule(30, 10**6, 1e9, 3_600, dice=lambda: dice)
    assert 30 <= rule._wait(turns, retry_after) <= 1.5 * 3_600
