"""Changes that make a model another than the real thing. The comparison has to be red with each."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

from creditstream.errors import StoreUnavailable
from tests.simulation import postgres
from tests.simulation.dropping import Dropping
from tests.simulation.kafka.group import Group
from tests.simulation.kafka.log import Log
from tests.simulation.months import Months


@contextmanager
def _with(owner: Any, name: str, other: Any) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, before)


def no_generation_fence() -> AbstractContextManager[None]:
    """Whoever is a member may speak for any generation."""
    unknown = vars(Group)["_fence"]
    return _with(Group, "_fence", lambda self, member_id, _generation: unknown(self, member_id, self.generation))


def no_repeat_stands_twice() -> AbstractContextManager[None]:
    """As if every producer were idempotent."""

    def repeated(log: Log, raw: bytes) -> int | None:
        """The same records, which a producer without a number cannot be told from others."""
        return next((batch.base for batch in log._batches if batch.raw[8:] == raw[8:]), None)

    return _with(Log, "repeated", repeated)


def no_last_stable_offset() -> AbstractContextManager[None]:
    """What is in a transaction that is open may be read by everybody."""
    return _with(Log, "stable", property(lambda self: self.end))


def no_aborted_transactions() -> AbstractContextManager[None]:
    """Nobody is told what to pass over."""
    read = vars(Log)["read"]
    return _with(Log, "read", lambda self, *given: (read(self, *given)[0], []))


def no_offset_for_a_marker() -> AbstractContextManager[None]:
    def end(log: Log, producer: int, *, commit: bool) -> None:
        log._open.pop(producer, None)

    return _with(Log, "end_transaction", end)


def no_commit_without_an_answer() -> AbstractContextManager[None]:
    """A connection that breaks has broken before the commit."""
    run = vars(postgres.Server)["_run"]

    async def other(server: postgres.Server, name: str, given: Any) -> Any:
        if server._next == "answer":
            server._next = None
            raise StoreUnavailable("the connection broke")
        return await run(server, name, given)

    return _with(postgres.Server, "_run", other)


def no_wait_on_a_conflict() -> AbstractContextManager[None]:
    @asynccontextmanager
    async def locked(_server: postgres.Server, _ids: Any) -> AsyncIterator[None]:
        yield

    return _with(postgres.Server, "locked", locked)


def no_look_after_a_wait() -> AbstractContextManager[None]:
    """Who has waited goes on with what was there before."""
    statement = vars(postgres.Server)["_statement"]

    async def other(server: postgres.Server, name: str, given: Any) -> Any:
        held, before, known = server.write, dict(server.rows), dict(server.keys)

        def write(*given: Any) -> Any:
            rows, keys, server.rows, server.keys = server.rows, server.keys, before, known
            try:
                return held(*given)
            finally:
                server.rows, server.keys = rows | server.rows, keys | server.keys

        return await statement(SimpleNamespace(**vars(server), locked=server.locked, write=write), name, given)

    return _with(postgres.Server, "_statement", other)


def no_wait_for_writers() -> AbstractContextManager[None]:
    """A month goes at once, whoever has it open."""

    async def until_unused(_months: Months, _within: float) -> bool:
        return True

    return _with(Months, "until_unused", until_unused)


def no_ids_without_rows() -> AbstractContextManager[None]:
    """As if the ids stood in the table that goes."""
    drop = vars(Dropping)["drop"]

    async def other(dropping: Dropping, given: Any) -> None:
        await drop(dropping, given)
        for order_id in dropping.gone.keys() & dropping._server.keys.keys():
            del dropping._server.keys[order_id]

    return _with(Dropping, "drop", other)


def no_second_count() -> AbstractContextManager[None]:
    """What is detached goes, whatever was written to it meanwhile."""

    async def keep_month(_dropping: Dropping, _given: Any) -> int:
        return 0

    return _with(Dropping, "keep_month", keep_month)


def no_month_comes_back() -> AbstractContextManager[None]:
    """A row that is not seen is gone."""
    return _with(Dropping, "_may_come_back", lambda _dropping, _month: False)


MUTANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    change.__name__: change
    for change in (
        no_generation_fence,
        no_repeat_stands_twice,
        no_last_stable_offset,
        no_aborted_transactions,
        no_offset_for_a_marker,
        no_commit_without_an_answer,
        no_wait_on_a_conflict,
        no_look_after_a_wait,
        no_wait_for_writers,
        no_ids_without_rows,
        no_second_count,
        no_month_comes_back,
    )
}
"""By name."""
