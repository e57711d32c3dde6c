"""I6: an order is asked about again only because of a retry, or of a disruption that it was in flight at."""

from typing import TYPE_CHECKING

from tests.chaos.evidence import Allowed, Call, Window
from tests.chaos.verify_calls import Span, is_excess
from tests.simulation.clocks import BEGINNING

if TYPE_CHECKING:
    from tests.simulation.world import World


class Calls:
    """Told of every second in which something is disturbed, and of every decision."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._disturbed: list[Window] = []
        self._decided: dict[str, float] = {}

    def disturbed(self, since: float, until: float) -> None:
        """Virtual seconds."""
        self._disturbed.append((BEGINNING + since, BEGINNING + until))

    def decided(self, order_id: str, at: float) -> None:
        """The first time that its row has a score. Virtual seconds."""
        self._decided.setdefault(order_id, BEGINNING + at)

    def look(self) -> None:
        """At the end."""
        timeout = self._world.workers[0].settings.risk_attempt_timeout
        allowed = Allowed(disruptions=self._disturbed, attempt_timeout=timeout)
        for order_id, journal in self._world.risk.calls().items():
            calls = [Call(*each) for each in journal]
            if order_id in self._world.faults.operators.losses.ever_lost:
                continue  # decided anew, if nobody was told
            if self._world.removed.was_gone(order_id):
                continue  # nothing is known of it but its id: a repeat is asked about before PostgreSQL refuses it
            scored = [call.at for call in calls if call.score is not None]
            # In flight since its first call, also one without a score: who lost it may still have one under way.
            if is_excess(scored, Span.of(calls, self._decided.get(order_id)), allowed):
                self._world.checks.complain(f"I6: order {order_id} was asked about {len(scored)} times")
