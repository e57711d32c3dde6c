"""A red seed, made small: events are taken away while the same invariant stays broken. What is left is the story."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tests.simulation.plan import Burst, Event, Plan

T = TypeVar("T")

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
    def still(events: tuple[Event, ...]) -> bool:
        return play(replace(plan, events=events)) == kind

    return replace(plan, events=_fewer(plan.events, still))


def _fewer_records(plan: Plan, kind: str, play: Play) -> Plan:
    """Bursts of the load: one is left at least."""

    def still(bursts: tuple[Burst, ...]) -> bool:
        return bool(bursts) and play(replace(plan, bursts=bursts)) == kind

    return replace(plan, bursts=_fewer(plan.bursts, still))


def _fewer(items: tuple[T, ...], still: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """As few of them as `still` is true of: halves are left out first, then one by one."""
    size = max(1, len(items) // 2)
    while items:
        for start in range(0, len(items), size):
            left = items[:start] + items[start + size :]
            if still(left):
                items = left
                break
        else:
            if size == 1:
                break
            size //= 2
    return items


def story(plan: Plan, wrong: tuple[str, ...]) -> list[str]:
    """In words: the world, what happened in it, what was wrong then."""
    records = sum(burst.count for burst in plan.bursts)
    settings = ", ".join(f"{name} {value:g}" for name, value in plan.settings.items())
    return [
        f"seed {plan.seed}: {plan.workers} workers, {plan.partitions} partitions, {records} records; {settings}",
        *(str(event) for event in plan.events),
        *(f"        -> {line}" for line in wrong[:3]),
    ]
