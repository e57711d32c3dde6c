"""Readiness: whether this worker can take an order to its end right now, and if not, what is in the way."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiokafka.errors import KafkaError

from creditstream.errors import StoreUseless, Unavailable

_ANSWER_WITHIN = 2.0


async def readiness(app: Any) -> list[str]:
    """What is in the way; empty when ready. A stuck part is reported, never waited for."""
    problems = []
    if app.rebalancing or not app.consumer.progress:
        problems.append("no partitions assigned, or their tables are still being recovered")
    probes = {"PostgreSQL": app.runtime.store.ping(), "Kafka": app.runtime.publisher.ping()}
    answers = await asyncio.gather(*(_problem(name, probe) for name, probe in probes.items()))
    problems += filter(None, answers)
    return [*problems, *app.pipeline.problems()]


async def _problem(name: str, probe: Awaitable[None]) -> str | None:
    try:
        await asyncio.wait_for(probe, _ANSWER_WITHIN)
    except StoreUseless as error:
        return str(error)
    except (Unavailable, KafkaError, OSError):
        return f"{name} does not answer"
    return None
