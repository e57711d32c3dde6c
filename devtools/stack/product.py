"""What the product needs on a fresh stack, done by the product itself: its topics and its database migrations."""

import asyncio
from collections.abc import Mapping

from creditstream.config.load import load_settings
from creditstream.errors import StartError, Unavailable
from creditstream.kafka.topics import create_topics
from creditstream.store.migrations import migrate
from devtools.stack.errors import StackError


def prepare_product(environ: Mapping[str, str]) -> str:
    """Create the topics and migrate the database that `environ` names; both are idempotent. Returns what was done.

    Raises StackError.
    """
    try:
        return asyncio.run(_prepare(environ))
    except (StartError, Unavailable) as error:
        raise StackError(f"topics and migrations: {error}") from error


async def _prepare(environ: Mapping[str, str]) -> str:
    settings = load_settings(environ)
    partitions = await create_topics(settings)
    applied = await migrate(settings.postgres_dsn.reveal())
    return f"{partitions} partitions, {len(applied)} migrations applied"
