"""RocksDB's files in memory: what a worker finds again after a crash, unless its disk was lost or damaged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust.stores.rocksdb

from creditstream.kafka import table_files
from creditstream.kafka.table_files import TableFiles
from tests.simulation.clocks import WORKER

NO_SPACE = "IO error: No space left on device"


class Disk:
    """One worker's. By path, what is in each database."""

    def __init__(self) -> None:
        self.files: dict[str, dict[bytes, bytes]] = {}
        self.damaged: set[str] = set()
        self.is_full = self.was_full = False

    def open(self, path: str) -> "Opened":
        """Raises Exception, as rocksdict does, when the files are damaged."""
        if path in self.damaged:
            raise Exception("Corruption: CURRENT file does not end with newline")
        return Opened(self, path)

    def damage(self) -> None:
        """Every database that is there."""
        self.damaged |= set(self.files)

    def wipe(self, path: str) -> None:
        self.files.pop(path, None)
        self.damaged.discard(path)

    def lose(self) -> None:
        self.files.clear()
        self.damaged.clear()


class Opened:
    """In place of rocksdict's `Rdict`, as far as it is used."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk, self._path = disk, path
        self._items = disk.files.setdefault(path, {})

    def get(self, key: bytes) -> bytes | None:
        self._refuse_if_damaged()
        return self._items.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._refuse_if_damaged()
        self._refuse_if_full()
        self._items[key] = value

    def delete(self, key: bytes) -> None:
        self._items.pop(key, None)

    def write(self, batch: "Batch") -> None:
        self._refuse_if_damaged()
        self._refuse_if_full()
        for key, value in batch.changes:
            if value is None:
                self._items.pop(key, None)
            else:
                self._items[key] = value

    def _refuse_if_damaged(self) -> None:
        if self._path in self._disk.damaged:
            raise Exception("Corruption: block checksum mismatch")

    def _refuse_if_full(self) -> None:
        if self._disk.is_full:
            raise Exception(NO_SPACE)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(self._items.items()))

    def close(self) -> None: ...

    def flush(self, *_args: Any) -> None: ...

    def __contains__(self, key: bytes) -> bool:
        return key in self._items


class Batch:
    """In place of rocksdict's `WriteBatch`."""

    def __init__(self, raw_mode: bool = True) -> None:
        self.changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.changes.append((key, None))


def replace_rocksdb() -> None:
    """Every table of this process has its files on the disk of the worker that runs."""
    files, options, owner = _module(table_files), _module(faust.stores.rocksdb.RocksDBOptions), _module(TableFiles)
    files.WriteBatch = Batch
    options.open = lambda _self, path, *, read_only=False: _disk().open(str(path))
    wipe = owner._wipe

    def wiped(self: TableFiles, partition: int, error: Exception) -> None:
        wipe(self, partition, error)
        _disk().wipe(str(Path(self.partition_path(partition))))

    owner._wipe = wiped


def _module(owner: Any) -> Any:
    """To be changed."""
    return owner


def _disk() -> Disk:
    life: Any = WORKER.get()
    disk: Disk = life.worker.disk
    return disk
