"""PURE: which fault when, from a seed. Lanes run beside each other: workers, the servers they depend on, operators."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

Lane = Literal["workers", "servers", "operators"]
LANES: tuple[Lane, ...] = ("workers", "servers", "operators")
#: Seconds between one fault's end and the next one's start in a lane, at least: some meet a pipeline at rest, some not.
PAUSE = 2.0
#: At most so many more.
_MORE = 5.0


class Kind(NamedTuple):
    """`hold`: seconds that the fault lasts in a short and in a long run; `cost`: what is needed beside, about."""

    name: str
    lane: Lane
    hold: tuple[float, float]
    cost: float
    #: It ends, freezes or stops workers: risk calls of their orders in flight may be made again.
    disturbs: bool = False
    #: Answers of the risk API may get lost on their way while it lasts.
    loses_answers: bool = False
    #: At most once in a run.
    once: bool = False


class Planned(NamedTuple):
    """`at`: seconds since the load began. `pick`: 0 to 1, chooses the victim among those that are there then."""

    at: float
    kind: Kind
    hold: float
    pick: float


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("kill", "workers", (8, 12), 5, disturbs=True),
        Kind("freeze", "workers", (12, 30), 2, disturbs=True),
        Kind("stop", "workers", (3, 8), 8, disturbs=True),
        Kind("add", "workers", (8, 15), 8, disturbs=True),
        Kind("kill_all", "workers", (0, 3), 8, disturbs=True),
        Kind("wipe", "workers", (2, 8), 6, disturbs=True),
        Kind("broker_restart", "servers", (1, 3), 9, disturbs=True),
        Kind("broker_kill", "servers", (1, 8), 9, disturbs=True),
        Kind("postgres_fast", "servers", (1, 5), 3),
        Kind("postgres_immediate", "servers", (1, 5), 3),
        Kind("postgres_cut", "servers", (4, 10), 0),
        Kind("postgres_stall", "servers", (4, 20), 0),
        Kind("postgres_away", "servers", (8, 60), 0),
        Kind("redis_kill", "servers", (3, 10), 1),
        Kind("risk_down", "servers", (5, 20), 0, loses_answers=True),
        Kind("risk_reset", "servers", (4, 10), 0, loses_answers=True),
        Kind("risk_hang", "servers", (5, 30), 0, loses_answers=True),
        Kind("risk_5xx", "servers", (5, 15), 0),
        Kind("risk_garbage", "servers", (4, 10), 0, loses_answers=True),
        Kind("risk_rescore", "servers", (4, 10), 0, loses_answers=True),
        Kind("grow", "operators", (0, 0), 16, disturbs=True, once=True),
        Kind("retention", "operators", (0, 0), 5),
        Kind("forget", "operators", (0, 0), 5),
    )
}


#: Not one of the kinds: with two versions, every second fault of the workers' lane is one of these.
ROLL = Kind("roll", "workers", (2, 6), 10, disturbs=True)


def make_schedule(
    seed: int, seconds: float, names: Sequence[str], *, short: bool, rolls: bool = False, pause: float = PAUSE
) -> list[Planned]:
    """Faults that are over after about `seconds`. The same arguments give the same schedule.

    `pause`: at least so many seconds between two of a lane; with enough of them each meets a pipeline at rest. `rolls`:
    see ROLL.
    """
    planned = [
        each
        for lane in LANES
        for each in _lane(
            random.Random(f"{seed} {lane}"),
            seconds,
            _turns([KINDS[n] for n in names if KINDS[n].lane == lane], ROLL if rolls and lane == ROLL.lane else None),
            short,
            (pause, pause + _MORE),
        )
    ]
    return sorted(planned, key=lambda each: each.at)


#: Kinds one after the other, drawn by the dice that are given.
_Turns = Callable[[random.Random], Iterator[Kind]]


def _lane(
    dice: random.Random, seconds: float, turns: _Turns, short: bool, pauses: tuple[float, float]
) -> list[Planned]:
    planned: list[Planned] = []
    at = dice.uniform(*pauses)
    for kind in turns(dice):
        hold = float(kind.hold[0] if short else kind.hold[1])
        if at + hold + kind.cost > seconds:
            break
        planned.append(Planned(round(at, 1), kind, hold, dice.random()))
        at += hold + kind.cost + dice.uniform(*pauses)
    return planned


def _turns(kinds: list[Kind], between: Kind | None) -> _Turns:
    """Without end. Every kind comes once before any comes again; `between`: before each of them."""

    def drawn(dice: random.Random) -> Iterator[Kind]:
        left = kinds
        while left or between:
            for kind in reversed(dice.sample(left, len(left))):
                yield from (between, kind) if between else (kind,)
            left = [kind for kind in left if not kind.once]
            if between and not left:
                yield between

    return drawn
