"""Of the letters about one record the last counts, also when `forget` wrote the topic's beginning anew."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from creditstream.kafka.topic_reader import Topics
from creditstream.operations.dlq.last_letters import Books
from creditstream.operations.progress import progress_bars
from schemas.headers import ROW_VERSION
from tests.unit.pipeline_rig import order_json, run
from tests.unit.test_dlq import record_of

VALUE = order_json()


class _Topics:
    """One topic, read twice."""

    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def size(self, name: str) -> int:
        return len(self._records)

    async def read(self, name: str) -> AsyncIterator[list[Any]]:
        yield self._records


def chosen(*versions: str | None) -> list[int]:
    """The offsets of the letters that count, of letters about one record whose row had those versions."""
    origin = [("x-original-topic", b"orders"), ("x-original-partition", b"1"), ("x-original-offset", b"5")]

    def letter(offset: int, version: str | None) -> Any:
        told = [(ROW_VERSION, version.encode())] if version is not None else []
        return record_of(VALUE, [*origin, ("x-error-class", b"risk_refused"), *told], offset=offset)

    async def read() -> list[int]:
        books = Books(
            cast(Topics, _Topics([letter(*each) for each in enumerate(versions)])), "", progress_bars(shown=False)
        )
        return [letter.offset async for batch in books.letters("") for letter in batch]

    return cast(list[int], run(read()))


@pytest.mark.parametrize(
    ("versions", "counts"),
    [
        (("1", "2"), 1),
        (("2", "1"), 0),  # the first was copied behind the last with another customer's
        (("10", "9", "9"), 0),
        (("1", "1"), 1),
        ((None, None), 1),
        ((None, "1"), 1),
        (("1", None), 1),
        (("2", None, "1"), 1),
    ],
)
def test_the_letter_of_the_rows_last_version_counts(versions: tuple[str | None, ...], counts: int) -> None:
    assert chosen(*versions) == [counts]
