"""The numbers on top of the page: today's counts from the replica, and how this worker is doing."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from creditstream.metrics.held import Held
from creditstream.web.answers.dashboard import Dashboard


class Lag(NamedTuple):
    """How far this worker is behind: records not done, and the age of the oldest in seconds; None: not known now."""

    records: int | None
    seconds: float | None


class Worker(NamedTuple):
    """What is asked of the running worker: each is a look at numbers that it keeps anyway."""

    in_flight: Callable[[], int]
    lag: Callable[[], Lag]
    series: Callable[[], tuple[list[int], list[float | None]]]
    risk: Callable[[], Mapping[str, str | int]]
    notes: Callable[[], list[str]]


class Stats:
    """`GET /stats` and the event of the same name."""

    def __init__(self, dashboard: Dashboard, worker: Worker, clock: Callable[[], float] = time.monotonic) -> None:
        self._dashboard, self._worker, self._held = dashboard, worker, Held(clock)

    async def json(self) -> bytes:
        """At most 0.25 s old. Never raises for a service that is away."""
        answer = self._held.get("stats")
        if answer is None:
            answer = await self._make()
            self._held.keep("stats", answer)
        return answer

    async def _make(self) -> bytes:
        today = await self._dashboard.today()
        return msgspec.json.encode(
            {
                "now": datetime.now(UTC),
                "today": today.counts if today else {"under_review": 0, "approved": 0, "rejected": 0},
                "available": today is not None,
                "replica_lag_s": today.lag if today else None,
                "worker": self._describe(),
                "notes": self._worker.notes(),
            }
        )

    def _describe(self) -> dict[str, Any]:
        worker = self._worker
        lag = worker.lag()
        orders, latency = worker.series()
        return {
            "in_flight": worker.in_flight(),
            "lag_s": lag.seconds,
            "lag_records": lag.records,
            "orders_per_s": orders,
            "latency_p95_ms": latency,
            "risk": worker.risk(),
        }
