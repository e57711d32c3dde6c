"""The invariants of what a worker holds and of who gets on, looked at every second while a world runs."""

import asyncio
from typing import TYPE_CHECKING, Any

from tests.simulation.clocks import now
from tests.simulation.plan import Plan
from tests.simulation.shares import Shares
from tests.simulation.unseen import Unseen

if TYPE_CHECKING:
    from tests.simulation.worker import Life
    from tests.simulation.world import World

_EVERY = 1.0
#: Seconds of health, within which partitions have owners, and the turn of an order that is due begins and ends.
_OWNED_WITHIN, _TURN_WITHIN = 10.0, 12.0
#: Records beyond `max_in_flight`: each of three agents may have taken one when the last place was given away.
_SLACK = 3


class Watch:
    """Complains to the world's checks."""

    def __init__(self, world: "World", plan: Plan) -> None:
        self._world, self._plan = world, plan
        self._evidence, self.complain = world.checks.evidence, world.checks.complain
        self._healthy_since = now.seconds
        self._shares, self._unseen = Shares(world), Unseen(world, self.skew)
        self._said: set[object] = set()
        self._generation = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self.look()

    def look(self) -> None:
        lives = [life for worker in self._world.workers if (life := worker.life) and is_at_work(life)]
        has_moved = self._has_moved()
        if has_moved or self._world.faults.active or not self._world.is_calm() or any(rests(life) for life in lives):
            self._world.checks.calls.disturbed(now.seconds - _EVERY, now.seconds)
            self._healthy_since = now.seconds
        for life in lives:
            self._look_at_memory(life)
            self._shares.look(life)
        self._unseen.look(lives)
        self._world.bounds.look()
        self._look_at_owners(lives)
        self._look_at_turns()

    def _has_moved(self) -> bool:
        """Whether partitions were given out anew since the last look: it may be over by now."""
        before, self._generation = self._generation, self._world.broker.groups[self._world.group].generation
        return before != self._generation

    @property
    def skew(self) -> float:
        """Seconds by which the workers' clocks may differ."""
        return sum(event.lasts for event in self._plan.events if event.what.startswith("clock_"))

    def _once(self, what: object, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self.complain(text)

    def _look_at_memory(self, life: "Life") -> None:
        app: Any = life.app
        flights = app.pipeline.flights
        held = sum(len(flight.records) + len(flight.others) for flight in flights.values()) + len(flights.again)
        most = life.worker.settings.max_in_flight + _SLACK
        if held > most:
            self._once(life, f"I9: worker {life.worker.number} holds {held} records, and {most} are the most")

    def _look_at_owners(self, lives: "list[Life]") -> None:
        if now.seconds - self._healthy_since < _OWNED_WITHIN:
            return
        owned = {tp for life in lives for tp in progress_of(life)}
        for number in range(self._world.partitions):
            if (self._world.topic("orders"), number) not in owned:
                self._once(number, f"liveness: nobody owns orders[{number}] although all is healthy")

    def _look_at_turns(self) -> None:
        """What fails again is on the topic anew, with its next time."""
        for order_id, (partition, due) in self._evidence.due.items():
            late = now.seconds - max(due + self.skew, self._healthy_since)
            if late < _TURN_WITHIN:
                continue
            row = self._world.checks.row(order_id)
            if self._world.removed.is_gone(order_id):
                continue
            if row is None or not row.is_settled:
                self._once(order_id, f"liveness: order {order_id} is due on orders-retry[{partition}], and has no turn")


def is_at_work(life: "Life") -> bool:
    """Whether its pipeline is there, and its callbacks run."""
    return not life.is_over and not life.is_frozen and hasattr(life.app and life.app.runtime, "pipeline")


def rests(life: "Life") -> bool:
    """Whether it takes no orders on purpose."""
    app: Any = life.app
    return bool(app.pipeline.brakes.notes() or app.pipeline.brakes.problems())


def progress_of(life: "Life") -> Any:
    """By partition of the topics of orders; empty while a rebalance is on."""
    app: Any = life.app
    return {} if app.consumer is None else app.group.progress
