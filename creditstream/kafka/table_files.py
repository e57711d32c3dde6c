"""A table's files on this worker's disk: a cache. Damaged ones are wiped, and filled again from the changelog.

A disk that is full, read-only or locked is not damage: nothing is wiped, and the error is the worker's.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import faust
from faust.stores import rocksdb
from faust.types import TP
from rocksdict import Rdict, WriteBatch

from creditstream.kafka.damage import is_damage, is_of_rocksdb

log = logging.getLogger(__name__)


class DiskTrouble(Exception):
    """The machine's disk does not give or take what it should. Nothing is wiped; the text says so by itself."""


class TableFiles(rocksdb.Store):
    """Faust's store over RocksDB. What it overrides of Faust's is named as that is.

    A partition is *whole* when what is not found there is not on its changelog either. Only `Filling` opens partitions
    and says so; one that is not open knows nothing.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._whole: set[int] = set()
        #: Of partitions that are not whole: behind the last mark that was made here.
        self._behind: dict[int, int] = {}

    async def on_rebalance(self, *_: Any) -> None:
        """Nothing waits for a disk."""

    def persisted_offset(self, tp: TP) -> int | None:
        """Of the last record up to which all are here. None also when the partition is not open."""
        found = self.read(tp.partition, self.offset_key)
        return None if found is None else int(found)

    def forget(self, tp: TP) -> None:
        """Its changelog is another one than the one it was filled from: nothing says how far it is.

        Else it would be believed as soon as the other one is as long.
        """
        self._behind.pop(tp.partition, None)
        if tp.partition in self._dbs:
            self._write(tp.partition, [(self.offset_key, None)], None)

    def doubt(self) -> None:
        """Partitions are being given up: from now on another worker may know what is not known here."""
        self._whole.clear()
        self._behind.clear()

    def keep(self, partitions: frozenset[int]) -> None:
        """These are this worker's, from now on: others are closed, and what others wrote meanwhile is not here."""
        self.doubt()
        for partition in self._dbs.keys() - partitions:
            del self._dbs[partition]  # closed with its last reference

    def on_disk(self) -> Mapping[int, Path]:
        """The folders of all partitions that were ever opened on this disk."""
        name = self.partition_path(0).name.removesuffix("0.db")
        found = ((path.stem.removeprefix(name), path) for path in self.path.glob(f"{name}*.db"))
        return {int(number): path for number, path in found if number.isascii() and number.isdigit()}

    def open(self, partition: int) -> bool:
        """Nothing is known of it before. False: it was open. Raises DiskTrouble or OSError."""
        if partition in self._dbs:
            return False
        self._dbs[partition] = self._open_for_partition(partition)
        return True

    def is_whole(self, partition: int) -> bool:
        return partition in self._whole

    def declare_whole(self, partition: int) -> None:
        """All up to where its changelog ended, after it was opened, is here; and all that was marked since.

        Not of one that was given up meanwhile: it is opened, and filled, again.
        """
        if partition in self._dbs:
            self._whole.add(partition)
            self._behind.pop(partition, None)

    def behind_marks(self, partition: int) -> int:
        """The offset behind all that was marked since it was opened: up to there the changelog is read."""
        return self._behind.get(partition, 0)

    def read(self, partition: int, key: bytes) -> bytes | None:
        """A damaged block is found when it is read: then nothing is known any more."""
        if partition not in self._dbs:
            return None
        try:
            return cast(bytes | None, self._dbs[partition].get(key))
        except Exception as error:
            if not is_of_rocksdb(error):
                raise
            self._give_up(partition, error)
            return None

    def mark(self, tp: TP, items: Iterable[tuple[bytes, bytes | None]], last_offset: int) -> None:
        """One batch, delivered to the changelog up to `last_offset`. What cannot be written is read from there later.

        Not yet whole, no offset is written: the next to open it goes on where filling came to.
        """
        partition = tp.partition
        if not self.is_whole(partition):
            self._behind[partition] = max(self.behind_marks(partition), last_offset + 1)
        if partition in self._dbs:
            self._write(partition, items, last_offset if self.is_whole(partition) else None)

    def fill(self, tp: TP, items: Iterable[tuple[bytes, bytes | None]], last_offset: int) -> bool:
        """One batch of the changelog, None for what is deleted. False: it is not here, nor may be what was before."""
        return tp.partition in self._dbs and self._write(tp.partition, items, last_offset)

    def _write(self, partition: int, items: Iterable[tuple[bytes, bytes | None]], last_offset: int | None) -> bool:
        batch = WriteBatch(raw_mode=True)
        for key, value in items:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if last_offset is not None:
            batch.put(self.offset_key, str(last_offset).encode())
        try:
            self._dbs[partition].write(batch)
        except Exception as error:
            if not is_of_rocksdb(error):
                raise
            self._give_up(partition, error)
            return False
        return True

    def _give_up(self, partition: int, error: Exception) -> None:
        """In use: nothing is known of the partition until it has been opened, and filled, again."""
        self._whole.discard(partition)
        del self._dbs[partition]
        log.warning("%s[%d] cannot be used on this disk: %s", self.table_name, partition, error)
        if is_damage(error):
            with suppress(OSError):  # the next to open it will say so
                self._wipe(partition, error)

    def _open_for_partition(self, partition: int) -> Rdict:
        """In place of Faust's. Raises DiskTrouble, and OSError when what is damaged cannot be wiped."""
        try:
            return cast(Rdict, super()._open_for_partition(partition))
        except Exception as error:
            if not is_damage(error):
                raise self._trouble(partition, error) from error
            self._wipe(partition, error)
        try:
            return cast(Rdict, super()._open_for_partition(partition))
        except Exception as error:
            raise self._trouble(partition, error) from error

    def _trouble(self, partition: int, error: Exception) -> DiskTrouble:
        return DiskTrouble(f"{self.table_name}[{partition}]: {error}")

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


class CachedTable(faust.Table[bytes, bytes]):
    """For the app's setting `Table`: Faust's, over files of ours."""

    def _new_store_by_url(self, url: Any) -> TableFiles:
        """In place of Faust's, which goes by the address and knows only stores of its own."""
        return TableFiles(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
            options=self.options,
        )
