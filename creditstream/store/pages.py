"""PostgreSQL's rows from the first to the last, by the page, over one connection: for commands that read them all."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from uuid import UUID

import msgspec

from creditstream.config.settings import Settings
from creditstream.store.database import check_dsn
from creditstream.store.errors import translated
from creditstream.store.pool import connect
from schemas.status import Row

#: Rows in one page: some megabytes of JSON.
_PAGE = 5_000


class RemovedOrder(msgspec.Struct):
    """An order whose row was dropped with its month."""

    order_id: UUID
    fingerprint: bytes


_decode_rows = msgspec.json.Decoder(list[Row]).decode
_decode_removed = msgspec.json.Decoder(list[RemovedOrder]).decode


async def read_rows(settings: Settings) -> AsyncIterator[list[Row]]:
    """All rows, ordered by id, by the page. Raises StartError (the DSN is none) or StoreUnavailable."""
    after: dict[str, object] = {
        "order_id": str(UUID(int=0)),
        "created_at": datetime.min.replace(tzinfo=UTC),
        "limit": _PAGE,
    }
    async with _pages(settings, "rows") as ask:
        while page := _decode_rows(await ask(after)):
            yield page
            after |= {"order_id": str(page[-1].order_id), "created_at": page[-1].created_at}


async def read_removed(settings: Settings) -> AsyncIterator[list[RemovedOrder]]:
    """All orders whose row went with its month, by the page. Raises as `read_rows`."""
    after: dict[str, object] = {"order_id": str(UUID(int=0)), "limit": _PAGE}
    async with _pages(settings, "removed") as ask:
        while page := _decode_removed(await ask(after)):
            yield page
            after |= {"order_id": str(page[-1].order_id)}


@asynccontextmanager
async def _pages(settings: Settings, name: str) -> AsyncIterator[Callable[[Mapping[str, object]], Awaitable[str]]]:
    """Yields what gives the next page of the statement of that name."""
    check_dsn(settings.postgres_dsn, "CREDITSTREAM_POSTGRES_DSN")
    statement = files("creditstream.store").joinpath(f"sql/{name}.sql").read_text(encoding="utf-8")
    with translated():
        async with (
            await connect(settings.postgres_dsn.reveal()) as connection,
            connection.cursor(timeout=60) as cursor,
        ):

            async def ask(after: Mapping[str, object]) -> str:
                await cursor.execute(statement, after)
                (page,) = await cursor.fetchone()
                return str(page)

            yield ask
