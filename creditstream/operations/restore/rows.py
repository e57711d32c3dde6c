"""Rows as `restore` looks at them and writes them: by the page, under the locks of their ids."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec

from creditstream.operations.restore.judge import fingerprint_of, may_have_reasons, row_of
from creditstream.store.maintenance import Maintenance
from schemas.status import FORGOTTEN, Row, StatusRecord

#: What becomes of what was published of an order, given the row that is here: what is to be written, or nothing.
Choose = Callable[[StatusRecord, Row | None], StatusRecord | None]


class Here(msgspec.Struct, frozen=True, dict=True):
    """What PostgreSQL has of some ids. `gone`: their rows were removed, and when their month was dropped, if it was.
    `made`: ids that were new."""

    rows: list[Row]
    gone: dict[UUID, datetime | None]
    made: list[UUID] = []

    @cached_property
    def by_id(self) -> dict[UUID, Row]:
        return {row.order_id: row for row in self.rows}

    def went(self, told: StatusRecord, dropped: Mapping[str, datetime]) -> bool:
        """Whether what was published of an order is gone for good: no other order came with its id since.

        `dropped`: months, and since when they are gone.
        """
        if told.order_id in self.gone:
            dropped_at = self.gone[told.order_id]
            return dropped_at is None or told.updated_at <= dropped_at
        since = dropped.get(f"{told.created_at:%Y-%m}")
        return since is not None and told.updated_at < since and told.order_id not in self.by_id

    @property
    def ids(self) -> set[UUID]:
        return {*(row.order_id for row in self.rows), *self.gone, *self.made}


_decode = msgspec.json.Decoder(Here).decode
_decode_dropped = msgspec.json.Decoder(dict[str, datetime]).decode
_encode = msgspec.json.Encoder().encode


class RestoredRows:
    """On the session that holds the advisory lock."""

    def __init__(self, session: Maintenance) -> None:
        self._session = session
        self._months: set[str] = set()
        self._dropped: dict[str, datetime] | None = None

    async def look(self, ids: Collection[UUID]) -> Here:
        """Changes nothing."""
        return _decode(await self._session.value("restore_look", {"ids": _array(ids)}))

    async def dropped(self) -> Mapping[str, datetime]:
        """Months, and since when they are gone at least."""
        if self._dropped is None:
            self._dropped = _decode_dropped(await self._session.value("restore_dropped"))
        return self._dropped

    async def write(self, told: Mapping[UUID, StatusRecord], choose: Choose) -> None:
        """All of it or nothing."""
        dropped = await self.dropped()
        await self._make_months(told.values())
        try:
            while not (here := await self._locked(told)).ids >= told.keys():
                await self._session.value("restore_roll_back")
            rows = here.by_id
            chosen = [
                choose(each, rows.get(order_id)) for order_id, each in told.items() if not here.went(each, dropped)
            ]
            batch = [_written(each, rows.get(each.order_id)) for each in chosen if each is not None]
            await self._session.value("restore_write", {"batch": _encode(batch).decode()})
            await self._session.value("restore_commit")
        except BaseException:
            await self._session.give_up("restore_roll_back")
            raise

    async def _locked(self, told: Mapping[UUID, StatusRecord]) -> Here:
        keys = _encode([_key(each) for each in told.values()]).decode()
        return _decode(await self._session.value("restore_lock", {"ids": _array(told), "batch": keys}))

    async def remove(self, removed: Mapping[UUID, datetime]) -> int:
        """Rows that were written before then. Returns how many there were."""
        batch = [{"order_id": order_id, "removed_at": at.isoformat()} for order_id, at in removed.items()]
        return int(await self._session.value("restore_remove", {"batch": _encode(batch).decode()}))

    async def _make_months(self, told: Collection[StatusRecord]) -> None:
        for month in sorted({f"{each.created_at:%Y-%m}-01T00:00:00Z" for each in told} - self._months):
            await self._session.patient_value("restore_month", {"month": month})
            self._months.add(month)


def _key(told: StatusRecord) -> dict[str, object]:
    return {"order_id": told.order_id, "created_at": told.created_at, "fingerprint": fingerprint_of(told)}


def _written(told: StatusRecord, held: Row | None) -> dict[str, Any]:
    row = row_of(told, held)
    is_forgotten = row.fingerprint == FORGOTTEN
    return {
        **msgspec.structs.asdict(row),
        "updated_at": row.updated_at.isoformat(),
        "was_lacking": held is None,
        "has_metadata": is_forgotten or (held is not None and held.fingerprint == row.fingerprint),
        "has_reasons": bool(row.reasons) or not may_have_reasons(row),
    }


def _array(ids: Collection[UUID]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"
