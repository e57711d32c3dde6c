"""PURE: plans in which a fault that was put back can show, by a seed."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.simulation.plan import RECORDS, Burst, Event, Plan, make_plan


def with_kinds(*kinds: str, lasts: float = 2.0, **settings: Any) -> Callable[[int], Plan]:
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


def in_order(
    *steps: tuple[float, str, float], at_once: int = 0, records: int = RECORDS, **settings: Any
) -> Callable[[int], Plan]:
    """Plans of these events alone, in about these seconds: when, what, for how long.

    `at_once`: that many records in one burst. Else `records` in many.
    """

    def plan(seed: int) -> Plan:
        made, dice = make_plan(seed, at_once or records), random.Random(seed)
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
SWARM = (
    (0.0, "busy", 30.0),
    *((at, "join", 0.0) for at in (1.0, 1.8, 6.0, 6.8)),
    *((at, "stop", 0.4) for at in (3.5, 4.2, 9.0, 10.0, 11.0)),
)

#: One rebalance after the other, while what goes through the network is late.
HASTE = (
    (0.0, "slow_network", 20.0),
    *((at, "join", 0.0) for at in (1.0, 1.3, 6.0, 6.3)),
    *((at, "stop", 0.4) for at in (3.5, 3.8, 9.0, 9.3, 11.0)),
)
