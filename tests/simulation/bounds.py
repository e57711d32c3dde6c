"""I7: a stop and a revocation come to their end within a bound, whatever the risk API does."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from creditstream.kafka.positions import InOrderPositions
from creditstream.worker.ending import STOPS_WITHIN
from creditstream.worker.runtime import Runtime
from tests.simulation.clocks import WORKER, now

if TYPE_CHECKING:
    from tests.simulation.worker import Life
    from tests.simulation.world import World

#: Seconds that the members of a group have for a rebalance: `broker_rebalance_timeout` of creditstream/worker/app.py.
_REBALANCE_TIMEOUT = 30.0
#: Seconds by which a timer may be late.
_SLACK = 0.05
Step = Callable[..., Awaitable[Any]]


class Begun(NamedTuple):
    """When, in virtual seconds, and how often the worker had stood still by then."""

    at: float
    standstills: int


class Bounds:
    """Told when a worker begins to stop, to give partitions up, or to drain, and when it has."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._begun: dict[tuple[Life, str], Begun] = {}

    def watch(self) -> None:
        """Every worker's drains and revocations from now on. What is watched is the product's own."""
        steps: tuple[tuple[Any, str, str], ...] = (
            (Runtime, "drain", "drain"),
            (InOrderPositions, "on_partitions_revoked", "revocation"),
        )
        for owner, name, what in steps:
            setattr(owner, name, self._watched(vars(owner)[name], what))

    def begin(self, life: "Life", what: str) -> None:
        self._begun.setdefault((life, what), Begun(now.seconds, life.standstills))

    def end(self, life: "Life", what: str) -> None:
        """Also told when what a dead worker had begun is thrown away."""
        if not life.is_dead:
            self._judge(life, what, "took")
        self._begun.pop((life, what), None)

    def look(self) -> None:
        """At what has not come to its end. What a dead worker had begun never does."""
        for life, what in list(self._begun):
            if life.is_over or self._judge(life, what, "takes more than"):
                del self._begun[life, what]

    def _judge(self, life: "Life", what: str, verb: str) -> bool:
        begun = self._begun.get((life, what))
        ends_by_a_stray = life.has_strays and what != "stop"  # within 28 s, and that is known
        if begun is None or begun.standstills != life.standstills or ends_by_a_stray:
            return False
        took, bound = now.seconds - begun.at, self._bound(life, what)
        if took <= bound + _SLACK:
            return False
        number = life.worker.number
        self._world.checks.complain(
            f"I7: a {what} of worker {number} {verb} {took:.1f} s, and {bound:g} s is the bound"
        )
        return True

    def _bound(self, life: "Life", what: str) -> float:
        drain: float = life.worker.settings.drain_timeout
        return {"drain": drain, "revocation": _REBALANCE_TIMEOUT, "stop": STOPS_WITHIN}[what]

    def _watched(self, step: Step, what: str) -> Step:
        async def watched(*given: Any) -> Any:
            life: Any = WORKER.get()
            self.begin(life, what)
            try:
                return await step(*given)
            finally:
                self.end(life, what)

        return watched
