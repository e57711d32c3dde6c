"""One partitioned RocksDB table of Faust's, read and written past Faust's own streams (its files: table_files.py)."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from faust.types import TP

from creditstream.config.settings import Settings
from creditstream.kafka.table_files import TableFiles

#: Faust's defaults are 2 GiB of cache and three 64 MiB memtables *per partition*. A partition's hot set is small.
MEMORY = {
    "block_cache_size": 4 * 1024 * 1024,
    "write_buffer_size": 4 * 1024 * 1024,
    "max_write_buffer_number": 2,
    #: Of a partition at once: neither descriptors nor what is held of each file grow with what is remembered.
    "max_open_files": 16,
}


class TableApp(Protocol):
    """Faust's app, as a table needs it."""

    @property
    def settings(self) -> Settings: ...

    def raw_topic(self, name: str, *, source: bool) -> Any:
        """Faust's topic of raw bytes; `name` without the prefix."""
        ...

    def Table(self, name: str, **options: Any) -> Any: ...


def new_table(app: TableApp, name: str, **options: Any) -> Any:
    """A Faust table of raw bytes, filled from its changelog by `Filling`, read and written through `TableStore`."""
    rocksdb = {**MEMORY, **options.pop("rocksdb", {})}
    return app.Table(name, key_type=bytes, value_type=bytes, options=rocksdb, **options)


class TableStore:
    """Reads and writes of a table's partitions that this worker owns. Raw bytes in, raw bytes out."""

    def __init__(self, table: Any) -> None:
        self._table = table

    @property
    def name(self) -> str:
        return cast(str, self._table.name)

    @property
    def files(self) -> TableFiles:
        """For filling."""
        return cast(TableFiles, self._table.data)

    @property
    def changelog(self) -> str:
        return cast(str, self._table.changelog_topic.get_topic_name())

    def get(self, partition: int, key: bytes) -> bytes | None:
        return cast(bytes | None, self._table.data.read(partition, key))

    def is_whole(self, partition: int) -> bool:
        """Whether what is not found is not on the changelog either. Not while it fills: then PostgreSQL knows."""
        return cast(bool, self._table.data.is_whole(partition))

    def put(self, partition: int, items: Mapping[bytes, bytes], last_offset: int) -> None:
        """Write `items`, whose changelog records were delivered up to `last_offset`."""
        self._table.data.mark(TP(self.changelog, partition), items.items(), last_offset)
