"""PostgreSQL's rows by the page, over a connection of their own: for commands that read them all, or some again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from importlib.resources import files
from uuid import UUID

import msgspec

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StoreUnavailable
from creditstream.store.database import check_dsn
from creditstream.store.errors import translated
from creditstream.store.pool import connect
from schemas.status import Row

#: Blocks in one page, of all partitions together: some 8,000 rows, a few megabytes of JSON.
_BLOCKS = 200
#: Ids in one page.
_PAGE = 5_000
_TIMEOUT = 60.0
_PRIMARY, REPLICA = "CREDITSTREAM_POSTGRES_DSN", "CREDITSTREAM_POSTGRES_REPLICA_DSN"

Ask = Callable[[str, Mapping[str, object]], Awaitable[str]]


class Found(msgspec.Struct):
    """What the primary has of some orders. `removed`: of those whose row went with its month the id is known.

    `unpublished`: a forget or a retention has changed them, and has not published it; `at_work`: one of them is now.
    """

    rows: list[Row]
    removed: list[UUID]
    unpublished: list[UUID]
    at_work: bool


class _Extent(msgspec.Struct):
    partitions: int
    blocks: int


_decode_rows = msgspec.json.Decoder(list[Row]).decode
_decode_ids = msgspec.json.Decoder(list[UUID]).decode
_decode_found = msgspec.json.Decoder(Found).decode
_decode_extent = msgspec.json.Decoder(_Extent).decode


async def read_rows(settings: Settings, *, replica: bool = False) -> AsyncIterator[list[Row]]:
    """All rows, by the page, in no order. Raises StartError (the DSN is none) or StoreUnavailable.

    A row that is written meanwhile may come twice, or not at all. `replica`: from the read replica, if there is one.
    While a page is looked at, the server is at work on the next.
    """
    async with _connected(settings, replica=replica) as ask:
        extent = _decode_extent(await ask("extent", {}))
        step = max(1, _BLOCKS // max(1, extent.partitions))
        following = _next_page(ask, 0, step)
        try:
            for first in range(0, extent.blocks, step):
                page = await following
                following = _next_page(ask, first + step, step)
                await asyncio.sleep(0)  # the question is on its way before the answer is looked at
                yield _decode_rows(page)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, StoreUnavailable):
                await following


def _next_page(ask: Ask, first: int, step: int) -> "asyncio.Task[str]":
    return asyncio.ensure_future(ask("rows", {"first": f"({first},0)", "end": f"({first + step},0)"}))


async def read_removed(settings: Settings, *, replica: bool = False) -> AsyncIterator[list[UUID]]:
    """All orders whose row went with its month, by the page. Raises as `read_rows`."""
    after = UUID(int=0)
    async with _connected(settings, replica=replica) as ask:
        while ids := _decode_ids(await ask("removed", {"order_id": str(after), "limit": _PAGE})):
            yield _decode_ids(await ask("without_row", {"ids": _array(ids)}))
            after = ids[-1]


async def find_suspects(settings: Settings, ids: Sequence[UUID]) -> AsyncIterator[Found]:
    """What the primary has of these orders now, by the page. Raises as `read_rows`."""
    async with _connected(settings) as ask:
        for start in range(0, len(ids), _PAGE):
            yield _decode_found(await ask("suspects", {"ids": _array(ids[start : start + _PAGE])}))


def _array(ids: Sequence[UUID]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


@cache
def _statement(name: str) -> str:
    return files("creditstream.store").joinpath(f"sql/{name}.sql").read_text(encoding="utf-8")


@asynccontextmanager
async def _connected(settings: Settings, *, replica: bool = False) -> AsyncIterator[Ask]:
    """Yields what asks the statement of a name, which gives one value."""
    dsn, setting = _server(settings, replica=replica)
    check_dsn(dsn, setting)
    with named(setting), translated():
        async with await connect(dsn.reveal()) as connection, connection.cursor(timeout=_TIMEOUT) as cursor:

            async def ask(name: str, parameters: Mapping[str, object]) -> str:
                await cursor.execute(_statement(name), parameters)
                (value,) = await cursor.fetchone()
                return str(value)

            yield ask


def _server(settings: Settings, *, replica: bool) -> tuple[Secret, str]:
    if replica and settings.postgres_replica_dsn:
        return settings.postgres_replica_dsn, REPLICA
    return settings.postgres_dsn, _PRIMARY


@contextmanager
def named(setting: str) -> Iterator[None]:
    """Says which of the servers does not answer, and what to do without the replica."""
    try:
        yield
    except StoreUnavailable as error:
        if setting == _PRIMARY:
            raise
        raise StoreUnavailable(f"the replica ({setting}): {error}; without that setting the primary is read") from None
