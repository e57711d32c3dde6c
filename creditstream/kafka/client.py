"""How this program connects to Kafka, and what each client of it is given."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.kafka.security import security_options, why_refused

#: Records are a few hundred bytes; a dead letter carries up to 4 MiB of original value and its headers.
MAX_REQUEST_BYTES = 6 * 1024 * 1024
#: Seconds until a task that was told to end, and goes on, is told again.
_AGAIN = 0.5


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client of this program takes."""
    return {"bootstrap_servers": settings.kafka_brokers, **security_options(settings)}


async def start(client: Any) -> None:
    """Start one of aiokafka's clients; one that cannot is closed. Raises KafkaError or OSError."""
    try:
        await client.start()
    except (KafkaError, OSError):
        with suppress(KafkaError, OSError):
            await client.stop()
        raise


async def stop(consumer: Any) -> None:
    """Close one of aiokafka's consumers, to its end even if the caller is cancelled meanwhile.

    Its own `stop` raises CancelledError half-way when a fetch had just failed, and leaves its connections open. When
    partitions had just been given up it waits for ever: the task that fetches ends by a cancel, and loses this one.
    """
    await asyncio.shield(_to_its_end(consumer))


async def _to_its_end(consumer: Any) -> None:
    stopping = asyncio.ensure_future(consumer.stop())
    while not (await asyncio.wait([stopping], timeout=_AGAIN))[0]:
        if consumer._fetcher is not None:
            consumer._fetcher._fetch_task.cancel()
    if stopping.cancelled():
        await consumer._client.close()
    else:
        stopping.result()


async def open_admin(settings: Settings) -> AIOKafkaAdminClient:
    """A started admin client; Kafka gets `start_timeout` to answer. Raises StartError."""
    deadline = time.monotonic() + settings.start_timeout
    while True:
        admin = AIOKafkaAdminClient(**client_options(settings))
        try:
            await admin.start()
        except asyncio.CancelledError:
            await admin.close()
            raise
        except (KafkaError, OSError) as error:
            await admin.close()
            refused = await why_refused(settings)
            if refused:
                raise StartError(f"Kafka (CREDITSTREAM_KAFKA_BROKERS) at {refused}") from None
            if time.monotonic() >= deadline:
                raise StartError(
                    f"Kafka does not answer at {settings.kafka_brokers} (CREDITSTREAM_KAFKA_BROKERS): "
                    f"{type(error).__name__} for {settings.start_timeout:.0f} s"
                ) from None
            await asyncio.sleep(min(1.0, settings.start_timeout))
        else:
            return admin


async def cluster_id(settings: Settings) -> str:
    """The cluster's own name for itself. Raises StartError when it does not answer."""
    admin = await open_admin(settings)
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
