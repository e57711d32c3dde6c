"""Readiness: whether this worker can take an order to its end right now, and if not, what is in the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from creditstream.errors import StoreUseless, Unavailable
from creditstream.web.answers.cache import Cache

_ANSWER_WITHIN = 2.0
_HOLD = 1.0
"""Seconds. Anybody may ask how this worker is; the servers are asked once in that time, by one of all who ask."""


class Readiness:
    """Asked by `/health/ready`. A stuck part is reported, never waited for."""

    def __init__(self, app: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._servers = Cache(None, clock, _HOLD)

    async def problems(self) -> list[str]:
        """What is in the way; empty when ready."""
        app, problems = self._app, []
        if app.rebalancing or not app.consumer.progress:
            problems.append("no partitions assigned, or their tables are still being recovered")
        silent: list[str] = msgspec.json.decode(await self._servers.get_or_load("servers", _HOLD, self._silent))
        return [*problems, *silent, *app.pipeline.brakes.problems()]

    async def close(self) -> None:
        await self._servers.close()

    async def _silent(self) -> list[str]:
        runtime = self._app.runtime
        probes = {"PostgreSQL": runtime.store.ping(), "Kafka": runtime.publisher.ping()}
        answers = await asyncio.gather(*(_problem(name, probe) for name, probe in probes.items()))
        return list(filter(None, answers))


async def _problem(name: str, probe: Awaitable[None]) -> str | None:
    try:
        await asyncio.wait_for(probe, _ANSWER_WITHIN)
    except StoreUseless as error:
        return str(error)
    except (Unavailable, KafkaError, OSError):
        return f"{name} does not answer"
    return None
