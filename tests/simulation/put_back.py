"""Faults that the product had, or that others have: put back into its code, to see that the simulation finds them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.put_in import (
    ack_out_of_order,
    approval_without_score,
    fausts_own_consumer,
    inverted_policy,
    mark_before_the_effects,
    mark_before_what_follows,
    no_home_partition,
    publishing_past_the_fence,
    redelivery_is_a_duplicate,
    status_from_memory,
)
from tests.simulation.plan import RECORDS, Burst, Event, Plan, make_plan
from tests.simulation.put_back_late import (
    late_marks,
    loops_that_end_unseen,
    repeats_past_a_rebalance,
    silent_truncation,
    waiting_over_a_settled_row,
)
from tests.simulation.put_back_runs import (
    a_seek_during_a_fetch,
    damaged_disks,
    positions_taken_unseen,
    room_that_is_never_given_back,
    rounds_that_go_on,
)
from tests.simulation.put_back_waits import (
    a_full_room_holds_up_the_rest,
    a_status_waits_for_ever,
    a_stuck_retry_topic_is_unseen,
    every_order_is_asked_about_twice,
    leaders_that_know_no_topics,
    one_topic_takes_every_place,
    repeats_take_no_place,
)
from tests.simulation.stories import STORIES


@dataclass(frozen=True)
class Fault:
    """`put_back` changes the product in this process. `plan`: from a seed, one in which it can show."""

    put_back: Callable[[], None]
    plan: Callable[[int], Plan] = make_plan


def _with(*kinds: str, lasts: float = 2.0, **settings: Any) -> Callable[[int], Plan]:
    """Plans of which every second event is one of these, of some seconds at least; settings may be given."""

    def plan(seed: int) -> Plan:
        made = make_plan(seed)
        events = tuple(_other(each, kinds, number, lasts) for number, each in enumerate(made.events))
        return replace(made, events=events, settings=made.settings | settings)

    return plan


def _other(event: Event, kinds: tuple[str, ...], number: int, lasts: float) -> Event:
    if number % 2:
        return event
    return replace(event, what=kinds[number // 2 % len(kinds)], lasts=max(event.lasts, lasts))


def _story(*steps: tuple[float, str, float], at_once: int = 0, **settings: Any) -> Callable[[int], Plan]:
    """Plans of these events alone, in about these seconds: when, what, for how long. `at_once`: so many records."""

    def plan(seed: int) -> Plan:
        made, dice = make_plan(seed, at_once or RECORDS), random.Random(seed)
        bursts = (Burst(0.5, 0, at_once),) if at_once else made.bursts
        begin = dice.uniform(1.0, 3.0)
        events = [
            Event(
                at=round(begin + at * dice.uniform(0.9, 1.1), 3),
                what=what,
                worker=dice.randrange(made.workers),
                lasts=round(lasts * dice.uniform(0.9, 1.1), 3),
                share=0.1,
            )
            for at, what, lasts in steps
        ]
        events.sort(key=lambda event: event.at)
        return replace(made, bursts=bursts, events=tuple(events), settings=made.settings | settings)

    return plan


#: Busy workers, of which one more comes before the partitions are in place that another one took.
_SWARM = (
    (0.0, "busy", 30.0),
    *((at, "join", 0.0) for at in (1.0, 1.8, 6.0, 6.8)),
    *((at, "stop", 0.4) for at in (3.5, 4.2, 9.0, 10.0, 11.0)),
)

PUT_BACK: dict[str, Fault] = {
    "repeats_past_a_rebalance": Fault(
        repeats_past_a_rebalance,
        _story(
            (0.0, "risk_hangs", 3.0),
            (1.5, "kafka_forbids_records", 8.0),
            (2.5, "join", 0.0),
            (10.0, "risk_hangs", 3.0),
            (11.5, "kafka_forbids_records", 8.0),
            (12.5, "join", 0.0),
            under_review_after=0.2,
            drain_timeout=1.0,
        ),
    ),
    "waiting_over_a_settled_row": Fault(
        waiting_over_a_settled_row,
        _with("freeze", "kafka_frozen", "risk_slow", "postgres_slow", lasts=6.0, under_review_after=0.2),
    ),
    "late_marks": Fault(
        late_marks,
        _story(
            (0.0, "kafka_takes_no_marks", 3.5),
            (1.5, "freeze", 10.0),
            (14.0, "kafka_takes_no_marks", 3.5),
            (15.5, "freeze", 10.0),
        ),
    ),
    "silent_truncation": Fault(silent_truncation, _with("log_is_cut")),
    "loops_that_end_unseen": Fault(loops_that_end_unseen, _with("stray")),
    "damaged_disks": Fault(damaged_disks, _with("kill_and_damage_disk")),
    "room_that_is_never_given_back": Fault(room_that_is_never_given_back, _with("risk_fails", "risk_hangs")),
    "a_seek_during_a_fetch": Fault(a_seek_during_a_fetch, _story(*_SWARM, (0.0, "slow_network", 15.0))),
    "rounds_that_go_on": Fault(rounds_that_go_on, _story(*_SWARM, at_once=600, max_in_flight=5)),
    "positions_taken_unseen": Fault(positions_taken_unseen, _story(*_SWARM, at_once=600, max_in_flight=5)),
    "a_full_room_holds_up_the_rest": Fault(
        a_full_room_holds_up_the_rest,
        _story(
            (0.0, "risk_asks_to_wait", 5.0),
            (6.0, "risk_breaks", 10.0),
            max_in_flight=1,
            retry_delay=3.0,
            retry_max_delay=60.0,
            retry_max_attempts=3,
            risk_deadline=0.4,
            risk_attempt_timeout=0.3,
            risk_breaker_min_calls=1_000,
        ),
    ),
    "a_stuck_retry_topic_is_unseen": Fault(
        a_stuck_retry_topic_is_unseen,
        _story(
            (0.0, "risk_breaks", 14.0),
            (14.5, "kafka_gives_no_retries", 35.0),
            stuck_after=8.0,
            max_in_flight=200,
            retry_delay=12.0,
            retry_max_delay=40.0,
            retry_max_attempts=3,
            risk_breaker_min_calls=1_000,
        ),
    ),
    "repeats_take_no_place": Fault(repeats_take_no_place, _with("repeats", "risk_hangs", max_in_flight=20)),
    "one_topic_takes_every_place": Fault(
        one_topic_takes_every_place, _story(at_once=600, max_in_flight=1, risk_deadline=2.0)
    ),
    "leaders_that_know_no_topics": Fault(
        leaders_that_know_no_topics, _with("kafka_forgets_topics", "join", "kafka_forgets_topics", "stop")
    ),
    "ack_out_of_order": Fault(ack_out_of_order),
    "mark_before_the_effects": Fault(mark_before_the_effects),
    "status_from_memory": Fault(status_from_memory),
    "no_home_partition": Fault(no_home_partition),
    "fausts_own_consumer": Fault(fausts_own_consumer),
    "redelivery_is_a_duplicate": Fault(redelivery_is_a_duplicate),
    "publishing_past_the_fence": Fault(publishing_past_the_fence, _with("freeze", "kafka_frozen")),
    "mark_before_what_follows": Fault(
        mark_before_what_follows,
        _story(
            (0.0, "risk_breaks", 12.0),
            *((at, "kafka_takes_no_retries", 3.0) for at in (1.0, 8.0)),
            *((at, "kill", 1.0) for at in (3.0, 5.0, 10.0, 12.0)),
            risk_breaker_min_calls=1_000,
        ),
    ),
    "inverted_policy": Fault(inverted_policy),
    "approval_without_score": Fault(approval_without_score),
    "a_status_waits_for_ever": Fault(
        a_status_waits_for_ever, lambda seed: replace(STORIES["topics_come_to_be_known_late"], seed=seed)
    ),
    "every_order_is_asked_about_twice": Fault(every_order_is_asked_about_twice),
}
"""By name: the faults of issue 17, the calibrations of docs/measurements/calibration.md, and what long runs found."""
