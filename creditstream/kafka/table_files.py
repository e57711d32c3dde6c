"""A table's files on this worker's disk: a cache. Damaged ones are wiped, and filled again from the changelog.

A disk that is full, read-only or locked is not damage: nothing is wiped, and the error is the worker's.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from faust.stores import rocksdb
from faust.types import TP
from rocksdict import Rdict, WriteBatch

log = logging.getLogger(__name__)
T = TypeVar("T")

#: How RocksDB, and the library over it, begin what they say of files that are not a database's, or not this one's.
_DAMAGED = ("Corruption:", "Invalid argument:", "Not implemented:", "File exists (", "Not a directory (")
#: Of an "IO error": a file is missing, or is a folder.
_MISPLACED = ("No such file or directory", "Is a directory", "Not a directory")
#: Of the machine, whatever else is said: the files may be as they should.
_MACHINE = (
    "No space left",
    "Disk quota exceeded",
    "File too large",
    "Read-only file system",
    "Permission denied",
    "Operation not permitted",
    "Input/output error",
    "Too many open files",
    "Cannot allocate memory",
    "While lock file",
    "lock hold by",
)


def is_damage(error: Exception) -> bool:
    """Whether only other files can help. RocksDB's errors have no types: the words are all there is."""
    words = str(error)
    if any(each in words for each in _MACHINE):
        return False
    return words.startswith(_DAMAGED) or (words.startswith("IO error:") and any(each in words for each in _MISPLACED))


class TableFiles(rocksdb.Store):
    """Faust's store over RocksDB. What it overrides of Faust's is named as that is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: Partitions that were wiped while they were in use. No offset is written there: the next to open them
        #: recovers all of it.
        self._partial: set[int] = set()

    def is_whole(self, partition: int) -> bool:
        """Whether what is not found there is not on the changelog either."""
        return partition not in self._partial

    def read(self, partition: int, key: bytes) -> bytes | None:
        """A damaged block is found when it is read: then nothing is known any more."""
        return self._guarded(partition, lambda db: cast(bytes | None, db.get(key)))

    def write(self, tp: TP, items: Iterable[tuple[bytes, bytes | None]], last_offset: int) -> None:
        """One batch, None for what is deleted. With the offset: recovery starts behind it."""
        batch = WriteBatch(raw_mode=True)
        for key, value in items:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._guarded(tp.partition, lambda db: db.write(batch))
        self.set_persisted_offset(tp, last_offset)

    def persisted_offset(self, tp: TP) -> int | None:
        found = self.read(tp.partition, self.offset_key)
        return None if found is None else int(found)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        def put(db: Rdict) -> None:
            if self.is_whole(tp.partition):  # asked of each attempt: the one before may have wiped it
                db.put(self.offset_key, str(offset).encode())

        self._guarded(tp.partition, put)

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        by_partition: dict[TP, list[Any]] = {}
        for event in batch:
            by_partition.setdefault(event.message.tp, []).append(event.message)
        for tp, messages in by_partition.items():
            last = max(message.offset for message in messages)
            self.write(tp, ((message.key, message.value) for message in messages), last)

    def _guarded(self, partition: int, use: Callable[[Rdict], T]) -> T:
        try:
            return use(self._db_for_partition(partition))
        except Exception as error:
            if not is_damage(error):
                raise
            self._begin_again(partition, error)
        return use(self._db_for_partition(partition))

    def _begin_again(self, partition: int, error: Exception) -> None:
        """In use: what is on the changelog is missing until the partition is opened the next time."""
        database = self._dbs.pop(partition, None)
        if database is not None:
            database.close()
        self._wipe(partition, error)
        self._dbs[partition] = self._open_for_partition(partition)
        self._partial.add(partition)

    def _open_for_partition(self, partition: int) -> Rdict:
        self._partial.discard(partition)
        try:
            return cast(Rdict, super()._open_for_partition(partition))
        except Exception as error:
            if not is_damage(error):
                raise
            self._wipe(partition, error)
        return cast(Rdict, super()._open_for_partition(partition))

    def _wipe(self, partition: int, error: Exception) -> None:
        """Raises OSError when the disk does not let it."""
        path = self.partition_path(partition)
        name = self.table_name
        log.warning("%s[%d] is damaged on this disk, wiped: its changelog fills it again: %s", name, partition, error)
        cast(Any, self.app).instruments.wiped_tables.add(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
