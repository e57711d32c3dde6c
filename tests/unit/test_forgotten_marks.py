"""`forget` watches the marks of the rows that it changed; whatever else stands on their topic is passed over."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from creditstream.config.settings import Settings
from creditstream.operations.forget.statuses import Watch
from schemas.status import FORGOTTEN
from tests.unit.pipeline_rig import FakePublisher, Rig, order_json, run


def a_row() -> Any:
    rig, value = Rig(), order_json()
    rig.pipeline.accept(rig.record(value))
    run(rig.run())
    [row] = rig.store.rows.values()
    return row


@pytest.mark.parametrize("odd", [b"", b"no id", bytes(17), None])
def test_what_strangers_write_among_the_marks_stops_nobody(odd: bytes | None) -> None:
    row, told = a_row(), list[int]()
    records = [(odd, FORGOTTEN), (uuid4().bytes, FORGOTTEN), (row.order_id.bytes, b"x" * 16), (odd, None)]
    answers: list[list[Any]] = [records, [(row.order_id.bytes, FORGOTTEN)]]

    async def getmany(**_: Any) -> Any:
        return {0: [SimpleNamespace(key=key, value=value) for key, value in answers.pop(0)]}

    watch = Watch(Settings(), cast(Any, SimpleNamespace(getmany=getmany)), 4)
    assert run(watch.until_published(FakePublisher(), [row], 60.0, told.append)) == set()
    assert (answers, told) == ([], [0, 1])
