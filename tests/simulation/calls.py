"""I6: an order is asked about again only because of a retry, or of a disruption that it was in flight at."""

from typing import TYPE_CHECKING

from tests.chaos.evidence import Allowed, Call, Window
from tests.chaos.verify_calls import Span, is_excess
from tests.simulation.clocks import BEGINNING

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Of all orders that were asked about: a rebalance between two looks disturbs some, and is not seen.
_UNEXPLAINED = 0.05


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
        journal, unexplained = self._world.risk.calls(), []
        for order_id, calls in journal.items():
            scored = [call for call in (Call(*each) for each in calls) if call.score is not None]
            if is_excess([call.at for call in scored], Span.of(scored, self._decided.get(order_id)), allowed):
                unexplained.append(f"I6: order {order_id} was asked about {len(scored)} times")
        if len(unexplained) > _UNEXPLAINED * len(journal):
            for told in unexplained:
                self._world.checks.complain(told)
