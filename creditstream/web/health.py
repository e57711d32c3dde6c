"""Readiness: whether this worker can take an order to its end right now, and if not, what is in the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sized
from typing import Protocol

import msgspec
from aiokafka.errors import KafkaError

from creditstream.errors import StoreUseless, Unavailable
from creditstream.web.answers.cache import Cache

_ANSWER_WITHIN = 2.0
_HOLD = 1.0
"""Seconds. Anybody may ask how this worker is; the servers are asked once in that time, by one of all who ask."""


class Server(Protocol):
    """One that this worker needs for every order."""

    async def ping(self) -> None:
        """Raises Unavailable, KafkaError or OSError."""
        ...


class Group(Protocol):
    """This worker's partitions."""

    @property
    def progress(self) -> Sized: ...


class Pipeline(Protocol):
    """The orders' way."""

    def problems(self) -> list[str]: ...


class Runtime(Protocol):
    """What the worker holds open."""

    @property
    def store(self) -> Server: ...

    @property
    def publisher(self) -> Server: ...


class Host(Protocol):
    """The app of a worker."""

    @property
    def rebalancing(self) -> bool: ...

    @property
    def group(self) -> Group: ...

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def runtime(self) -> Runtime: ...


class Readiness:
    """Asked by `/health/ready`. A stuck part is reported, never waited for."""

    def __init__(self, app: Host, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._servers = Cache(None, clock, _HOLD)

    async def problems(self) -> list[str]:
        """What is in the way; empty when ready."""
        app, problems = self._app, []
        if app.rebalancing or not app.group.progress:
            problems.append("no partitions assigned, or their tables are still being recovered")
        silent: list[str] = msgspec.json.decode(await self._servers.get_or_load("servers", _HOLD, self._silent))
        return list(dict.fromkeys([*problems, *silent, *app.pipeline.problems()]))

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
