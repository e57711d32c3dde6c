"""Faults that the product had, or that others have: put back into its code, to see that the simulation finds them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

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
from tests.simulation.plan import Plan, make_plan
from tests.simulation.put_back_late import (
    late_marks,
    loops_that_end_unseen,
    repeats_past_a_rebalance,
    silent_truncation,
    waiting_over_a_settled_row,
)
from tests.simulation.put_back_lost import (
    a_start_asks_for_nothing,
    nobody_asks_what_is_missing,
    restore_brings_back_what_is_lacking_alone,
    restore_forgets_the_forgotten,
    seen_outranks_the_truth,
)
from tests.simulation.put_back_plans import HASTE, SWARM, in_order, with_kinds
from tests.simulation.put_back_runs import (
    a_miss_is_new_while_it_fills,
    damaged_disks,
    marks_tell_how_far_the_disk_is,
    positions_before_an_assignment,
    positions_taken_unseen,
    room_that_is_never_given_back,
    rounds_that_go_on,
    whole_whoever_wrote_meanwhile,
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


PUT_BACK: dict[str, Fault] = {
    "repeats_past_a_rebalance": Fault(
        repeats_past_a_rebalance,
        in_order(
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
        with_kinds("freeze", "kafka_frozen", "risk_slow", "postgres_slow", lasts=6.0, under_review_after=0.2),
    ),
    "late_marks": Fault(
        late_marks,
        in_order(
            (0.0, "kafka_takes_no_marks", 3.5),
            (1.5, "freeze", 10.0),
            (14.0, "kafka_takes_no_marks", 3.5),
            (15.5, "freeze", 10.0),
        ),
    ),
    "silent_truncation": Fault(silent_truncation, with_kinds("log_is_cut")),
    "loops_that_end_unseen": Fault(loops_that_end_unseen, with_kinds("stray")),
    "damaged_disks": Fault(damaged_disks, with_kinds("kill_and_damage_disk")),
    "a_miss_is_new_while_it_fills": Fault(
        a_miss_is_new_while_it_fills,
        in_order((0.0, "kill_and_lose_disk", 1.0), *((6.0 + step / 2, "old_repeats", 0.0) for step in range(8))),
    ),
    "marks_tell_how_far_the_disk_is": Fault(marks_tell_how_far_the_disk_is, with_kinds("kill_and_lose_disk", "kill")),
    "whole_whoever_wrote_meanwhile": Fault(whole_whoever_wrote_meanwhile, with_kinds("freeze", "stop", "join")),
    "room_that_is_never_given_back": Fault(room_that_is_never_given_back, with_kinds("risk_fails", "risk_hangs")),
    "rounds_that_go_on": Fault(rounds_that_go_on, in_order(*SWARM, at_once=600, max_in_flight=5)),
    "positions_taken_unseen": Fault(positions_taken_unseen, in_order(*HASTE, records=1_000, max_in_flight=200)),
    "positions_before_an_assignment": Fault(
        positions_before_an_assignment, in_order(*HASTE, records=1_000, max_in_flight=200)
    ),
    "a_full_room_holds_up_the_rest": Fault(
        a_full_room_holds_up_the_rest,
        in_order(
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
        in_order(
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
    "repeats_take_no_place": Fault(repeats_take_no_place, with_kinds("repeats", "risk_hangs", max_in_flight=20)),
    "one_topic_takes_every_place": Fault(
        one_topic_takes_every_place, in_order(at_once=600, max_in_flight=1, risk_deadline=2.0)
    ),
    "leaders_that_know_no_topics": Fault(
        leaders_that_know_no_topics,
        with_kinds("kafka_forgets_topics", "join", "kafka_forgets_topics", "stop", lasts=6.0),
    ),
    "ack_out_of_order": Fault(ack_out_of_order),
    "mark_before_the_effects": Fault(
        mark_before_the_effects,
        in_order(
            (0.0, "risk_slow", 25.0),
            *((at, "kafka_takes_no_records", 1.5) for at in (1.5, 6.5, 11.5, 16.5)),
            *((at, "kill", 0.5) for at in (2.0, 2.5, 7.0, 7.5, 12.0, 12.5, 17.0, 17.5)),
            max_in_flight=4,
        ),
    ),
    "status_from_memory": Fault(status_from_memory),
    "no_home_partition": Fault(no_home_partition),
    "fausts_own_consumer": Fault(fausts_own_consumer),
    "redelivery_is_a_duplicate": Fault(redelivery_is_a_duplicate),
    "publishing_past_the_fence": Fault(publishing_past_the_fence, with_kinds("freeze", "kafka_frozen")),
    "mark_before_what_follows": Fault(
        mark_before_what_follows,
        in_order(
            (0.0, "risk_breaks", 12.0),
            *((at, "kafka_takes_no_retries", 3.0) for at in (1.0, 8.0)),
            *((at, "kill", 1.0) for at in (3.0, 5.0, 10.0, 12.0)),
            risk_breaker_min_calls=1_000,
        ),
    ),
    "inverted_policy": Fault(inverted_policy),
    "approval_without_score": Fault(approval_without_score),
    "seen_outranks_the_truth": Fault(
        seen_outranks_the_truth, with_kinds("postgres_is_restored", "old_repeats", "postgres_loses_commits")
    ),
    "nobody_asks_what_is_missing": Fault(
        nobody_asks_what_is_missing, with_kinds("postgres_is_restored", "kill", "postgres_loses_commits")
    ),
    "a_start_asks_for_nothing": Fault(
        a_start_asks_for_nothing, with_kinds("postgres_is_restored", "kill", "postgres_loses_commits")
    ),
    "restore_brings_back_what_is_lacking_alone": Fault(
        restore_brings_back_what_is_lacking_alone,
        with_kinds("postgres_is_restored", "risk_slow", under_review_after=0.2),
    ),
    "restore_forgets_the_forgotten": Fault(
        restore_forgets_the_forgotten, with_kinds("forget", "postgres_is_restored", "forget", "postgres_is_restored")
    ),
    "a_status_waits_for_ever": Fault(
        a_status_waits_for_ever, lambda seed: replace(STORIES["topics_come_to_be_known_late"], seed=seed)
    ),
    "every_order_is_asked_about_twice": Fault(every_order_is_asked_about_twice),
}
"""By name: the faults of issue 17, the calibrations of docs/measurements/calibration.md, and what long runs found."""
