"""PURE: how often somebody may ask: a token bucket for each client, and a bound on how many are remembered."""

from collections import OrderedDict

_CLIENTS = 10_000


class Buckets:
    """`rate` requests a second for each client in the long run, `burst` at once. Times of any steady clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        #: What is left for each, and when that was so; the longest unseen is forgotten first.
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """0 when the client may; else after how many seconds it may again."""
        left = self._left(client, now)
        wait = self._wait(left)
        self._clients[client] = (left if wait else left - 1, now)
        self._clients.move_to_end(client)
        if len(self._clients) > _CLIENTS:
            self._clients.popitem(last=False)
        return wait

    def wait(self, client: str, now: float) -> float:
        """As `take`, and nothing is taken."""
        return self._wait(self._left(client, now))

    def _left(self, client: str, now: float) -> float:
        left, then = self._clients.get(client, (self._burst, now))
        return min(self._burst, left + (now - then) * self._rate)

    def _wait(self, left: float) -> float:
        return 0.0 if left >= 1 else (1 - left) / self._rate
