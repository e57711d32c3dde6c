"""What filling needs of others (docs/adr/0030-open-at-once.md)."""

from collections.abc import Iterable
from typing import Protocol

from faust.types import TP

from creditstream.kafka import left_files


class Files(left_files.Files, Protocol):
    """`creditstream.kafka.table_files.TableFiles`."""

    def doubt(self) -> None: ...

    def keep(self, partitions: frozenset[int]) -> None: ...

    def open(self, partition: int) -> bool: ...

    def is_whole(self, partition: int) -> bool: ...

    def declare_whole(self, partition: int) -> None: ...

    def behind_marks(self, partition: int) -> int: ...

    def persisted_offset(self, tp: TP) -> int | None: ...

    def forget(self, tp: TP) -> None: ...

    def fill(self, tp: TP, items: Iterable[tuple[bytes, bytes | None]], last_offset: int) -> bool: ...


class Table(Protocol):
    """`creditstream.kafka.table.TableStore`."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def changelog(self) -> str: ...

    @property
    def files(self) -> Files: ...


class Throttle(Protocol):
    """`creditstream.kafka.throttle.Throttle`."""

    async def after(self, records: int) -> None: ...
