"""PURE: what happens in a world, from its seed: settings, load and faults, as data that can be told and shrunk."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation import words
from tests.simulation.past import KEPT, make_repeats

#: Virtual seconds in which orders come and things break. Then all is healed.
TROUBLED = 20.0
#: Of one seed.
RECORDS = 200
_FEWEST_FAULTS, _MOST_FAULTS = 5, 12
#: So many of all come a moment after another.
_HURRIED = 1 / 3
_MOMENTS = (0.003, 0.03, 0.3, 1.0)
#: The share of seeds that have a past, and `retention`.
_WITH_A_PAST = 0.3
#: And of those in which PostgreSQL is taken back.
_WITH_A_LOSS = 0.25
#: Where an error may come that nobody foresaw, and more than there are partitions.
_STEPS = 6


@dataclass(frozen=True)
class Event:
    """Something that happens. `what`: a method of `tests.simulation.faults.Faults`; `lasts`: seconds, if it does."""

    at: float
    what: str
    worker: int = 0
    lasts: float = 0.0
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  " + words.ALL[self.what].format(
            worker=self.worker, lasts=f"{self.lasts:.1f} s", share=f"{self.share:.0%}"
        )


@dataclass(frozen=True)
class Burst:
    """So many records at once, from that place in the load on."""

    at: float
    first: int
    count: int


@dataclass(frozen=True)
class Plan:
    """Everything that one seed decides."""

    seed: int
    workers: int
    partitions: int
    records: int
    settings: dict[str, Any] = field(default_factory=dict)
    bursts: tuple[Burst, ...] = ()
    events: tuple[Event, ...] = ()
    #: Whether there were orders long before: `tests.simulation.past`.
    has_past: bool = False


#: How often each is picked, where it is not once.
_WEIGHTS = {"kill": 6, "freeze": 4, "stop": 3, "kafka_loses_answers": 3, "postgres_loses_answers": 3, "cut_off": 2}
KINDS = tuple(words.FAULTS)
COMMANDS = tuple(words.COMMANDS)
RARE = tuple(words.RARE)
LOSSES = tuple(words.LOSSES)
#: Those that may come in any world. The rest need one that has a past.
_OF_ANY_WORLD = ("forget", "replay", "grow")


def make_plan(seed: int, records: int = RECORDS) -> Plan:
    """The same seed gives the same plan, in every process."""
    dice = random.Random(seed)
    workers = dice.choice((2, 2, 3, 3, 3, 4))
    plan = Plan(
        seed=seed,
        workers=workers,
        partitions=dice.choice((2, 4, 4)),
        records=records,
        settings=_settings(dice) | _limit(seed),
        bursts=tuple(_bursts(dice, records)),
        events=_in_order([*_hurried(seed, _events(dice, workers)), *_commands(seed), *_rare(seed), *_losses(seed)]),
    )
    return with_past(plan) if random.Random(seed ^ 0x9A5).random() < _WITH_A_PAST else plan


def with_past(plan: Plan) -> Plan:
    """The same, with orders of long ago, which come again, and with `retention`."""
    dice = random.Random(plan.seed ^ 0x3E7)
    repeats = len(make_repeats(plan.seed))
    bursts = [Burst(round(dice.uniform(0.0, TROUBLED), 3), plan.records + each, 1) for each in range(repeats)]
    commands = [Event(round(dice.uniform(1.0, TROUBLED), 3), "retention") for _ in range(dice.choice((1, 2)))]
    return replace(
        plan,
        has_past=True,
        settings=plan.settings | KEPT,
        bursts=tuple(sorted([*plan.bursts, *bursts], key=lambda burst: burst.at)),
        events=_in_order([*plan.events, *commands]),
    )


def _in_order(events: list[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: event.at))


def _settings(dice: random.Random) -> dict[str, Any]:
    return {
        "max_in_flight": dice.choice((20, 50, 200)),
        "risk_concurrency": dice.choice((8, 32)),
        "under_review_after": dice.choice((0.2, 1.0)),
        "retry_delay": dice.choice((0.5, 2.0)),
        "retry_max_delay": 6.0,
        "retry_max_attempts": dice.choice((2, 5)),
        "risk_deadline": dice.choice((2.0, 5.0)),
        "risk_attempt_timeout": 1.5,
        "risk_breaker_min_calls": dice.choice((10, 50)),
        "dead_letter_limit": 0,
        "drain_timeout": dice.choice((1.0, 5.0)),
    }


def _bursts(dice: random.Random, records: int) -> list[Burst]:
    bursts, first = [], 0
    while first < records:
        count = min(records - first, dice.choice((1, 3, 10, 20, 40)))
        bursts.append(Burst(round(dice.uniform(0.0, TROUBLED), 3), first, count))
        first += count
    return sorted(bursts, key=lambda burst: burst.at)


def _events(dice: random.Random, workers: int) -> list[Event]:
    count = dice.randint(_FEWEST_FAULTS, _MOST_FAULTS)
    weights = [_WEIGHTS.get(kind, 1) for kind in KINDS]
    return [
        Event(
            at=round(dice.uniform(0.5, TROUBLED), 3),
            what=kind,
            worker=dice.randrange(workers),
            lasts=round(dice.choice((0.3, 1.5, 4.0, 8.0)) * dice.uniform(0.5, 1.5), 3),
            share=dice.choice((0.02, 0.1, 0.3)),
        )
        for kind in dice.choices(KINDS, weights, k=count)
    ]


def _hurried(seed: int, events: list[Event]) -> list[Event]:
    """One in three comes just after another has begun, or is over: as a worker starts, as partitions move."""
    dice = random.Random(seed ^ 0x4A57E)

    def hurried(event: Event) -> Event:
        if dice.random() > _HURRIED:
            return event
        other = dice.choice(events)
        after = dice.choice(_MOMENTS) * dice.uniform(0.5, 2.0)
        return replace(event, at=round(min(other.at + dice.choice((0.0, other.lasts)) + after, TROUBLED), 4))

    return [hurried(event) for event in events]


def _commands(seed: int) -> list[Event]:
    """In two seeds of three one or two."""
    dice = random.Random(seed ^ 0x0B5)
    names = dice.sample(_OF_ANY_WORLD, dice.choice((0, 1, 2)))
    return [Event(round(dice.uniform(1.0, TROUBLED), 3), name, share=round(dice.random(), 3)) for name in names]


def _limit(seed: int) -> dict[str, Any]:
    """In one seed of four dead letters stop the intake for a while."""
    if random.Random(seed ^ 0x117).random() > 0.25:
        return {}
    return {"dead_letter_limit": 3, "dead_letter_share": 0.3, "dead_letter_window": 4.0}


def _rare(seed: int) -> list[Event]:
    """In one seed of two."""
    dice = random.Random(seed ^ 0x4A4E)
    names = dice.choices(RARE, k=dice.choice((0, 0, 1, 2)))
    times = [(round(dice.uniform(0.5, TROUBLED), 3), round(dice.uniform(0.5, 4.0), 3)) for _ in names]
    shares = dice.choices((0.1, 0.3), k=len(names))
    return [
        Event(at, name, dice.randrange(_STEPS), lasts, share)
        for name, (at, lasts), share in zip(names, times, shares, strict=True)
    ]


def _losses(seed: int) -> list[Event]:
    """In one seed of four, once or twice."""
    dice = random.Random(seed ^ 0x1057)
    if dice.random() > _WITH_A_LOSS:
        return []
    return [
        Event(
            round(dice.uniform(1.0, TROUBLED), 3),
            dice.choice(LOSSES),
            lasts=round(dice.choice((0.02, 0.3, 3.0)) * dice.uniform(0.5, 2.0), 3),
        )
        for _ in range(dice.choice((1, 1, 2)))
    ]
