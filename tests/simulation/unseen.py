"""Whether a worker says that `orders-retry` is stuck when it is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.simulation.clocks import now

if TYPE_CHECKING:
    from tests.simulation.worker import Life
    from tests.simulation.world import World

#: Seconds beyond `stuck_after`: the watchdog looks every five, and needs two looks.
_MARGIN = 12.0


class Unseen:
    """Asked every second about all workers. A stuck partition is one on which an order is due and none gets on."""

    def __init__(self, world: "World", skew: float) -> None:
        """`skew`: seconds by which the workers' clocks may differ."""
        self._world, self._skew, self.complain = world, skew, world.checks.complain
        #: Since when, by worker and generation, an order is due there and nothing of the topic gets on.
        self._since: dict[tuple[Life, int], tuple[float, object]] = {}

    def look(self, lives: "Iterable[Life]") -> None:
        found: dict[tuple[Life, int], tuple[float, object]] = {}
        for life in lives:
            app: Any = life.app
            if app.consumer is None or not self._is_due(app.group.progress) or self._rests(app):
                continue
            key = life, app.consumer_generation_id
            ended = tuple(self._ended(app.group.progress))
            before = self._since.get(key)
            found[key] = before if before and before[1] == ended else (now.seconds, ended)
            after = life.worker.settings.stuck_after + _MARGIN
            if now.seconds - found[key][0] > after and not app.runtime.stuck:
                self.complain(f"liveness: orders-retry is stuck in worker {life.worker.number}, and it does not say so")
                found[key] = now.seconds, ended
        self._since = found

    def _is_due(self, progress: Any) -> bool:
        topic = self._world.topic("orders-retry")
        mine = {tp.partition for tp in progress if tp.topic == topic}
        return any(
            partition in mine and due + self._skew < now.seconds and not self._is_settled(order_id)
            for order_id, (partition, due) in self._world.checks.evidence.due.items()
        )

    def _is_settled(self, order_id: Any) -> bool:
        row = self._world.checks.row(order_id)
        if self._world.removed.is_gone(order_id):
            return True
        return row is not None and row.is_settled

    def _rests(self, app: Any) -> bool:
        """Intake is paused on purpose, or the partitions move."""
        brakes = app.pipeline.brakes
        return bool(app.rebalancing or brakes.notes() or brakes.problems())

    def _ended(self, progress: Any) -> Iterable[int]:
        """How many records of each partition are done."""
        topic = self._world.topic("orders-retry")
        for tp in sorted(tp for tp in progress if tp.topic == topic):
            standing = progress[tp].standing(0)
            yield standing.delivered - standing.unfinished
