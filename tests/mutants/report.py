"""PURE: what is printed at the end: a table by room, and each survivor."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.mutants.equivalent import Reasons
from tests.mutants.places import Mutant

ALIVE, EQUIVALENT = "alive", "equivalent"
_COLUMNS = ("unit", "contracts", "simulation", EQUIVALENT, ALIVE)


class Found(NamedTuple):
    """`how`, `by`: of its verdict."""

    room: str
    mutant: Mutant
    how: str
    by: str


def report(found: Sequence[Found], reasons: Reasons) -> Iterator[str]:
    """Its lines."""
    judged = [_judged(each, reasons) for each in found]
    yield f"{'room':14}{'mutants':>10}" + "".join(f"{name:>12}" for name in _COLUMNS) + f"{'killed':>9}"
    for room in dict.fromkeys(each.room for each in judged):
        yield _row(room, [each for each in judged if each.room == room])
    yield _row("all", judged)
    for how in (EQUIVALENT, ALIVE):
        for each in judged:
            if each.how == how:
                yield from ("", *entry(each.mutant), f"    {how}{': ' if each.by else ''}{each.by}")


def entry(mutant: Mutant) -> Iterator[str]:
    """As it stands in `equivalent.txt`, but for the line's number and the reason."""
    where, before, after = mutant.name
    yield f"{where}  ({mutant.file}:{mutant.line})"
    yield f"    - {before}"
    yield f"    + {after}"


def _judged(each: Found, reasons: Reasons) -> Found:
    reason = reasons.get(each.mutant.name)
    return each._replace(how=EQUIVALENT, by=reason) if each.how == ALIVE and reason else each


def _row(name: str, found: Sequence[Found]) -> str:
    """Killed: of those that are not equivalent."""
    counts = Counter(each.how for each in found)
    count = len(found) - counts[EQUIVALENT]
    killed = f"{100 * (count - counts[ALIVE]) / count:8.1f}%" if count else f"{'-':>9}"
    return f"{name:14}{len(found):10}" + "".join(f"{counts[column]:12}" for column in _COLUMNS) + killed
