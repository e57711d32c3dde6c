"""PURE: how many answers without a usable score are too many: then it is the risk API, not its customers."""

from creditstream.order.stops import Stop


class UnusableLimit(Stop):
    """Exceeded when of at least `least` answers in `window` seconds more than `share` are unusable; then for `window`
    seconds, and forgotten after it."""

    def __init__(self, least: int, share: float, window: float) -> None:
        super().__init__(window)
        self._least, self._share = least, share

    def count(self, unusable: bool, now: float) -> None:
        """The API has answered about an order."""
        self._ended.add(now, unusable)
        if not unusable:
            return
        self._ended.pass_to(now)
        bad, total = self._ended.marked, self._ended.total
        if total >= self._least and bad > self._share * total:
            why = f"{bad} of the risk API's last {total} answers had no usable score"
            self.stop(now, why, "CREDITSTREAM_RISK_BREAKER_SHARE")
