"""Short stories in which the simulation found a fault of the product, kept: `python -m tests.simulation --stories`."""

from typing import Any

from tests.simulation.plan import Burst, Event, Plan

_SETTINGS: dict[str, Any] = {
    "max_in_flight": 50,
    "risk_concurrency": 8,
    "under_review_after": 0.2,
    "retry_delay": 0.5,
    "retry_max_delay": 6.0,
    "retry_max_attempts": 5,
    "risk_deadline": 2.0,
    "risk_attempt_timeout": 1.5,
    "risk_breaker_min_calls": 50,
    "dead_letter_limit": 0,
    "drain_timeout": 1.0,
}


def _story(seed: int, *events: Event, workers: int) -> Plan:
    """Three records in each half second."""
    bursts = tuple(Burst(number / 2, number * 3, 3) for number in range(40))
    return Plan(seed, workers, 4, 120, _SETTINGS, bursts, events)


STORIES: dict[str, Plan] = {
    # A status waited for metadata when its producer was thrown away: it waited for ever, and the pipeline with it.
    "topics_come_to_be_known_late": _story(4, Event(6.0, "kafka_forgets_topics", lasts=8.0), workers=4),
    # A worker whose loop had ended left its group, went on, and wrote a mark behind others that it never had.
    "a_worker_that_crashed_goes_on": _story(2, Event(6.5, "stray", worker=0), workers=2),
    # The number of a topic's partitions was taken to be none.
    "forget_while_topics_are_unknown": _story(
        2, Event(5.0, "kafka_forgets_topics", lasts=3.0), Event(8.1, "forget", share=0.2), workers=2
    ),
    # A look at what is assigned, before there is a consumer, ended the worker.
    "kafka_goes_away_as_a_worker_starts": _story(
        2, Event(6.0, "kill", worker=0, lasts=1.0), Event(7.035, "kafka_away", lasts=20.0), workers=2
    ),
    # Faust waited 40 s for where the logs of orders, or of a table, end, and recovered no table any more.
    "no_positions_for_a_minute": _story(
        2, Event(5.9, "kafka_tells_no_ends", worker=0, lasts=12.0), Event(6.0, "join"), workers=2
    ),
    "no_ends_of_tables_for_a_minute": _story(
        2, Event(5.9, "kafka_tells_no_ends", worker=1, lasts=12.0), Event(6.0, "join"), workers=2
    ),
    # Left without partitions, it kept their orders, and asked the risk API about them beside the new owner.
    "a_worker_is_left_without_partitions": _story(
        1, Event(3.0, "kafka_away", lasts=9.0), Event(9.1, "postgres_away", lasts=10.3), workers=5
    ),
}
"""By name. What went wrong then stands above each."""
