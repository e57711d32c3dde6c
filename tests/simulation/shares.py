"""Whether the topics of orders take turns in each worker."""

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.clocks import now

if TYPE_CHECKING:
    from tests.simulation.worker import Life
    from tests.simulation.world import World

#: Seconds beyond the risk API's deadline: no order is in flight for longer while others end.
_BEYOND = 2.0
_TOPICS = ("orders", "orders-by-id")


class _Standing(NamedTuple):
    """Records of a topic that are done, since when, and how many of the others were then."""

    done: int
    since: float
    others: int


class Shares:
    """Asked about each worker every second."""

    def __init__(self, world: "World") -> None:
        self._world, self.complain = world, world.checks.complain
        self._standings: dict[tuple[Life, str], _Standing] = {}
        self._progress: dict[Life, Any] = {}

    def look(self, life: "Life") -> None:
        """A topic that has records, of which none ends while so many of the other end, starves."""
        app: Any = life.app
        progress = {} if app.consumer is None else app.group.progress
        if self._progress.get(life) is not progress:
            self._progress[life] = progress
            self._standings = {place: each for place, each in self._standings.items() if place[0] is not life}
        counts = {name: self._count(progress, name) for name in _TOPICS}
        done = sum(each for each, _ in counts.values())
        settings = life.worker.settings
        enough, longest = 2 * settings.max_in_flight + 10, settings.risk_deadline + _BEYOND
        for name, (own, unfinished) in counts.items():
            before = self._standings.get((life, name))
            if before is None or before.done != own or not unfinished:
                self._standings[life, name] = _Standing(own, now.seconds, done - own)
            elif now.seconds - before.since > longest and done - own - before.others > enough:
                self._standings[life, name] = _Standing(own, now.seconds, done - own)
                self.complain(f"fairness: worker {life.worker.number} ends no record of {name}, only the other topic's")

    def _count(self, progress: Any, name: str) -> tuple[int, int]:
        """How many are done, and how many were handed on and are not."""
        standings = [each.standing(0) for tp, each in progress.items() if tp.topic == self._world.topic(name)]
        unfinished = sum(each.unfinished for each in standings)
        return sum(each.delivered for each in standings) - unfinished, unfinished
