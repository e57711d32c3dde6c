"""PURE: how long this worker may act for its partitions without having heard from the group.

A worker that was frozen (SIGSTOP, a paused machine) wakes and does not know that its partitions have moved. The broker
gives them away when it has not had a heartbeat for the session time-out. A lease ends earlier, counted from when the
last answered heartbeat was *sent*: while it holds, nobody else can own them.
"""

#: Of the session time-out. The rest is for a request on its way to the broker, and for clocks that do not run alike.
SHARE_OF_SESSION = 0.6


class Lease:
    """Times in seconds, of a clock that goes on while the process, or the machine, is stopped."""

    def __init__(self, session_timeout: float) -> None:
        self._holds_for = session_timeout * SHARE_OF_SESSION
        self._until = float("-inf")
        self._is_over = False

    def renew(self, sent_at: float) -> None:
        """The coordinator answered a heartbeat, or a join, that was sent at this time."""
        self._until = max(self._until, sent_at + self._holds_for)

    def end(self) -> None:
        """This worker leaves the group: others have its partitions at once, whatever it still does."""
        self._is_over = True

    def holds(self, now: float) -> bool:
        return now < self._until and not self._is_over
