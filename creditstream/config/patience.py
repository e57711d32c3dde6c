"""How long a start waits for a service: `start_timeout`, and no word of it until then but a log line."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreRefused, StoreUseless, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")
POSTGRESQL = "PostgreSQL (CREDITSTREAM_POSTGRES_DSN)"
KAFKA = "Kafka (CREDITSTREAM_KAFKA_BROKERS)"


async def patiently(settings: Settings, ask: Callable[[], Awaitable[T]], who: str = POSTGRESQL) -> T:
    """The answer of a service that may still be starting, or restarting; it gets `start_timeout`. Raises StartError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.start_timeout
    while True:
        try:
            return await ask()
        except StoreRefused as error:
            raise StartError(f"{who} and this program do not trust each other: {error}") from None
        except (Unavailable, KafkaError, OSError) as error:
            words = str(error) if isinstance(error, Unavailable) else type(error).__name__
            what = "is of no use" if isinstance(error, StoreUseless) else "does not answer"
            if loop.time() >= deadline:
                raise StartError(f"{who} {what} for {settings.start_timeout:.0f} s: {words}") from None
            log.info("waiting for %s: %s", who, words)
            await asyncio.sleep(min(1.0, settings.start_timeout))
