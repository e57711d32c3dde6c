"""Faults that the product had, or that others have: put back into its code, to see that the simulation finds them."""

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
from tests.simulation.plan import Event, Plan, make_plan
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


PUT_BACK: dict[str, Fault] = {
    "repeats_past_a_rebalance": Fault(
        repeats_past_a_rebalance,
        _with("kafka_takes_no_records", "join", "risk_hangs", "kafka_takes_no_records", "stop", lasts=5.5),
    ),
    "waiting_over_a_settled_row": Fault(waiting_over_a_settled_row, _with("freeze", "risk_fails", "risk_hangs")),
    "late_marks": Fault(late_marks, _with("slow_network", "freeze", "join")),
    "silent_truncation": Fault(silent_truncation, _with("log_is_cut")),
    "loops_that_end_unseen": Fault(loops_that_end_unseen),
    "damaged_disks": Fault(damaged_disks, _with("kill_and_damage_disk")),
    "room_that_is_never_given_back": Fault(room_that_is_never_given_back, _with("risk_fails", "risk_hangs")),
    "a_seek_during_a_fetch": Fault(a_seek_during_a_fetch, _with("join", "stop", "kafka_loses_answers")),
    "rounds_that_go_on": Fault(rounds_that_go_on, _with("join", "stop", "freeze")),
    "positions_taken_unseen": Fault(positions_taken_unseen, _with("kafka_away", "kafka_loses_answers")),
    "ack_out_of_order": Fault(ack_out_of_order),
    "mark_before_the_effects": Fault(mark_before_the_effects),
    "status_from_memory": Fault(status_from_memory),
    "no_home_partition": Fault(no_home_partition),
    "fausts_own_consumer": Fault(fausts_own_consumer),
    "redelivery_is_a_duplicate": Fault(redelivery_is_a_duplicate),
    "publishing_past_the_fence": Fault(publishing_past_the_fence, _with("freeze", "kafka_frozen")),
    "mark_before_what_follows": Fault(mark_before_what_follows, _with("kill", "risk_fails")),
    "inverted_policy": Fault(inverted_policy),
    "approval_without_score": Fault(approval_without_score),
}
"""By name: the faults of issue 17, the calibrations of docs/measurements/calibration.md, and what long runs found."""
