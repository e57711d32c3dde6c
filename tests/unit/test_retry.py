"""When an order that could not be scored is tried again, and when it is given up."""

from datetime import UTC, datetime, timedelta

from creditstream.flight import Turn
from creditstream.retry import RetryRule

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULE = RetryRule(delay=30, max_turns=3, max_age=100)


def test_each_turn_comes_after_the_delay_and_remembers_the_first_failure() -> None:
    first = RULE.next_turn(Turn(), NOW)
    assert first == Turn(1, NOW, NOW + timedelta(seconds=30))
    later = NOW + timedelta(seconds=40)
    assert RULE.next_turn(first, later) == Turn(2, NOW, later + timedelta(seconds=30))


def test_after_the_last_turn_it_is_given_up() -> None:
    assert RULE.next_turn(Turn(2, NOW, NOW), NOW).due is not None
    assert RULE.next_turn(Turn(3, NOW, NOW), NOW).due is None


def test_a_turn_that_would_come_after_the_largest_age_is_given_up() -> None:
    assert RULE.next_turn(Turn(1, NOW, NOW), NOW + timedelta(seconds=70)).due is not None
    assert RULE.next_turn(Turn(1, NOW, NOW), NOW + timedelta(seconds=71)).due is None
