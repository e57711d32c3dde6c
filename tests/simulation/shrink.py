"""A red seed, made small: events are taken away while the same invariant stays broken. What is left is the story."""

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.plan import Plan

Play = Callable[[Plan], str]
"""Plays a plan. Returns what kind of thing was wrong, "" if nothing was."""


def kind_of(wrong: tuple[str, ...]) -> str:
    """What stays the same when a story gets shorter: the invariant, without ids and places."""
    return wrong[0].split(":")[0].split(" (at ")[0] if wrong else ""


def shrunk(plan: Plan, kind: str, play: Play) -> Plan:
    """The smallest plan that was found with the same kind of fault."""
    plan = _fewer_events(plan, kind, play)
    plan = _fewer_records(plan, kind, play)
    return _fewer_events(plan, kind, play)


def _fewer_events(plan: Plan, kind: str, play: Play) -> Plan:
    """Halves first, then one by one."""
    size = max(1, len(plan.events) // 2)
    while plan.events:
        for start in range(0, len(plan.events), size):
            smaller = plan.without(*plan.events[start : start + size])
            if play(smaller) == kind:
                plan = smaller
                break
        else:
            if size == 1:
                return plan
            size //= 2
    return plan


def _fewer_records(plan: Plan, kind: str, play: Play) -> Plan:
    """Bursts of the load, in the same way."""
    size = max(1, len(plan.bursts) // 2)
    while len(plan.bursts) > 1:
        for start in range(0, len(plan.bursts), size):
            bursts = plan.bursts[:start] + plan.bursts[start + size :]
            if bursts and play(smaller := replace(plan, bursts=bursts)) == kind:
                plan = smaller
                break
        else:
            if size == 1:
                return plan
            size //= 2
    return plan


def story(plan: Plan, wrong: tuple[str, ...]) -> list[str]:
    """In words: the world, what happened in it, what was wrong then."""
    records = sum(burst.count for burst in plan.bursts)
    settings = ", ".join(f"{name} {value:g}" for name, value in plan.settings.items())
    return [
        f"seed {plan.seed}: {plan.workers} workers, {plan.partitions} partitions, {records} records; {settings}",
        *(str(event) for event in plan.events),
        *(f"        -> {line}" for line in wrong[:3]),
    ]
