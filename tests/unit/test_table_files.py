"""A table's files are a cache: damaged ones are wiped and filled again; what the machine lacks wipes nothing.

The files are RocksDB's own, damaged as a disk or a person damages them.
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from creditstream.kafka.damage import is_damage
from creditstream.kafka.table import MEMORY, TableStore
from creditstream.kafka.table_files import CachedTable, DiskTrouble, TableFiles
from creditstream.metrics.instruments import Instruments
from devtools.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]
TPS = [TP("seen-changelog", number) for number in range(2)]
KEYS = [b"%08d" % number for number in range(400)]


class Disk:
    """A worker's disk with the table `seen`; each `open` is another life of the worker."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metrics = folder, Instruments()

    def open(self, *partitions: int) -> TableFiles:
        """Nothing is known of other partitions."""
        conf = SimpleNamespace(table_key_index_size=10, tabledir=self.folder)
        app = SimpleNamespace(conf=conf, instruments=self.metrics, loop=None)
        table = SimpleNamespace(app=app, name="seen", key_type=bytes, value_type=bytes, loop=None)
        table.key_serializer = table.value_serializer = "raw"
        table.options = {**MEMORY, "ttl": 3_600}
        store = CachedTable._new_store_by_url(cast(Any, table), "rocksdb://")
        for partition in partitions:
            store.open(partition)
        return store

    def fill(self) -> None:
        """Both partitions are on the disk, in files, up to offset 399."""
        store = self.open(0, 1)
        for tp in TPS:
            for each in range(0, 400, 100):
                store.fill(tp, [(key, os.urandom(100)) for key in KEYS[each : each + 100]], each + 99)
                store._db_for_partition(tp.partition).flush()
        close(store)

    @property
    def wiped(self) -> int:
        return cast(int, self.metrics.wiped_tables.read().values["seen",])


def close(store: TableFiles) -> None:
    for database in store._dbs.values():
        database.close()
    store._dbs.clear()


def path(store: TableFiles) -> Path:
    return store.partition_path(0)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path)
    disk.fill()
    return disk


def garbage(file: Path) -> None:
    file.write_bytes(os.urandom(len(file.read_bytes())))


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_file_instead(database: Path) -> None:
    shutil.rmtree(database)
    database.write_text("not a database")


def each(pattern: str, damage: Callable[[Path], object]) -> Callable[[Path], None]:
    def do(database: Path) -> None:
        found = list(database.glob(pattern))
        assert found
        for file in found:
            damage(file)

    return do


DAMAGE = {
    "tables are garbage": each("*.sst", garbage),
    "tables are cut": each("*.sst", half),
    "tables are gone": each("*.sst", Path.unlink),
    "manifest is garbage": each("MANIFEST-*", garbage),
    "manifest is empty": each("MANIFEST-*", lambda file: file.write_bytes(b"")),
    "manifest is gone": each("MANIFEST-*", Path.unlink),
    "current is garbage": each("CURRENT", garbage),
    "current is empty": each("CURRENT", lambda file: file.write_bytes(b"")),
    "current is gone": each("CURRENT", Path.unlink),
    "lock is a folder": each("LOCK", folder),
    "no folder": a_file_instead,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_partition_is_wiped_when_it_is_opened(
    disk: Disk, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGE[damage](path(disk.open()))
    with caplog.at_level(logging.WARNING):
        store = disk.open(0, 1)
        assert store.persisted_offset(TPS[0]) is None, "its changelog is read from the beginning"
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith("seen[0] is damaged on this disk, wiped")
    assert disk.wiped == 1
    assert store.fill(TPS[0], [(KEYS[0], b"again")], 399)
    assert store.persisted_offset(TPS[1]) == 399, "the other partition is as it was"
    assert store.read(1, KEYS[0])
    close(store)
    store = disk.open(0, 1)
    assert (store.read(0, KEYS[0]), store.persisted_offset(TPS[0]), disk.wiped) == (b"again", 399, 1)
    close(store)


def test_what_was_read_from_the_changelog_is_read_once(disk: Disk) -> None:
    """Filling goes on behind the last record of a batch, of each partition by itself; None deletes."""
    store = disk.open(0, 1)
    assert store.fill(TPS[0], [(b"a", b"1"), (b"a", b"3"), (KEYS[0], None)], 402)
    assert store.fill(TPS[1], [(b"b", b"2")], 700)
    close(store)
    store = disk.open(0, 1)
    assert [store.persisted_offset(tp) for tp in TPS] == [402, 700]
    assert [store.read(0, b"a"), store.read(1, b"b"), store.read(0, KEYS[0])] == [b"3", b"2", None]
    assert store.read(1, KEYS[0])
    close(store)


def test_what_is_not_open_knows_nothing(disk: Disk) -> None:
    """Nobody waits for a disk: a mark that is made before is on the changelog, up to which it is read then."""
    store = disk.open()
    store.mark(TPS[0], [(b"early", b"1")], 400)
    assert (store.read(0, b"early"), store.persisted_offset(TPS[0]), store.is_whole(0)) == (None, None, False)
    assert store.behind_marks(0) == 401
    store.open(0)
    assert (store.read(0, b"early"), store.persisted_offset(TPS[0])) == (None, 399)
    assert store.behind_marks(0) == 401
    close(store)


def test_a_mark_says_how_far_the_disk_is_only_when_all_before_it_is_there(disk: Disk) -> None:
    store = disk.open(0)
    store.mark(TPS[0], [(b"mark", b"1")], 900)
    assert (store.read(0, b"mark"), store.persisted_offset(TPS[0]), store.behind_marks(0)) == (b"1", 399, 901)
    store.declare_whole(0)
    store.mark(TPS[0], [(b"mark", b"2")], 901)
    assert (store.read(0, b"mark"), store.persisted_offset(TPS[0]), store.is_whole(0)) == (b"2", 901, True)
    store.doubt()
    store.mark(TPS[0], [(b"mark", b"3")], 950)
    assert (store.persisted_offset(TPS[0]), store.is_whole(0)) == (901, False)
    close(store)


def test_how_far_the_disk_is_is_forgotten_with_its_changelog(disk: Disk) -> None:
    store = disk.open(0)
    store.mark(TPS[0], [(b"mark", b"1")], 900)
    for tp in TPS:
        store.forget(tp)
    assert (store.persisted_offset(TPS[0]), store.behind_marks(0)) == (None, 0)
    assert (store.read(0, b"mark"), disk.wiped) == (b"1", 0)
    close(store)


def test_what_is_kept_stays_open_and_is_not_whole(disk: Disk) -> None:
    store = disk.open(0, 1)
    for partition in (0, 1):
        store.declare_whole(partition)
    store.keep(frozenset([1]))
    assert (store.read(0, KEYS[0]), store.read(1, KEYS[0]) is None) == (None, False)
    assert not store.is_whole(0) and not store.is_whole(1)
    assert sorted(store.on_disk()) == [0, 1]
    assert store.on_disk()[0] == path(store)
    close(store)


def test_a_lock_that_nobody_holds_is_no_damage(disk: Disk) -> None:
    (path(disk.open()) / "LOCK").write_text("12345")
    store = disk.open(0)
    assert (store.persisted_offset(TPS[0]), disk.wiped) == (399, 0)
    close(store)


def middle(file: Path) -> None:
    data = file.read_bytes()
    at = len(data) // 4
    file.write_bytes(data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 64]) + data[at + 64 :])


def test_a_block_that_is_found_damaged_in_use_is_wiped_and_filled_again(disk: Disk) -> None:
    """RocksDB opens it: only whoever reads that block finds out. Until it is opened again nothing is known."""
    each("*.sst", middle)(path(disk.open()))
    store = disk.open(0, 1)
    seen = TableStore(SimpleNamespace(data=store))
    for partition in (0, 1):
        store.declare_whole(partition)
    assert store.persisted_offset(TPS[0]) == 399
    assert None in [seen.get(0, key) for key in KEYS]
    assert (disk.wiped, seen.is_whole(0), seen.is_whole(1)) == (1, False, True)
    store.mark(TPS[0], [(KEYS[0], b"new")], 400)
    store.open(0)
    assert store.persisted_offset(TPS[0]) is None, "all of it is read again"
    assert store.behind_marks(0) == 401, "and what was marked meanwhile"
    close(store)


class Broken:
    """An open database whose every use goes wrong."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get(self, _key: bytes) -> bytes:
        raise self._error

    def write(self, _batch: object) -> None:
        raise self._error


_DAMAGE, _FULL = "Corruption: block checksum mismatch", "IO error: No space left on device"


@pytest.mark.parametrize(("words", "wiped"), [(_DAMAGE, 1), (_FULL, 0)])
@pytest.mark.parametrize("use", ["fill", "mark", "read"])
def test_what_goes_wrong_in_use_leaves_no_offset_behind(disk: Disk, use: str, words: str, wiped: int) -> None:
    """A disk that is full costs look-ups, and no worker: what is there is a cache."""
    store = disk.open(1)
    store._dbs[0] = Broken(Exception(words))
    store.declare_whole(0)
    if use == "fill":
        assert not store.fill(TPS[0], [(KEYS[0], b"new")], 500)
    elif use == "mark":
        store.mark(TPS[0], [(KEYS[0], b"new")], 500)
    else:
        assert store.read(0, KEYS[0]) is None
    assert (disk.wiped, store.is_whole(0)) == (wiped, False)
    store.open(0)
    assert store.persisted_offset(TPS[0]) == (None if wiped else 399)
    close(store)


def test_a_fault_of_ours_is_not_taken_for_the_disks(disk: Disk) -> None:
    store = disk.open()
    store._dbs[0] = Broken(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        store.mark(TPS[0], [(KEYS[0], b"new")], 500)
    with pytest.raises(ZeroDivisionError):
        store.read(0, KEYS[0])


def test_what_another_process_has_open_is_not_wiped(disk: Disk) -> None:
    code = (
        "import sys; from rocksdict import AccessType, Options, Rdict; "
        "held = Rdict(sys.argv[1], Options(raw_mode=True), access_type=AccessType.with_ttl(3600)); "
        "print('open', flush=True); sys.stdin.read()"
    )
    place = str(path(disk.open()))
    holder = subprocess.Popen([sys.executable, "-c", code, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin and holder.stdout
    assert holder.stdout.readline() == b"open\n"
    store = disk.open()
    with pytest.raises(DiskTrouble, match="lock"):
        store.open(0)
    assert disk.wiped == 0
    holder.stdin.close()
    wait_for(lambda: holder.poll() is not None, 30, "it ends")
    store.open(0)
    assert store.persisted_offset(TPS[0]) == 399
    close(store)


def test_what_does_not_open_when_it_is_wiped_either_is_the_disks_trouble(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is damaged is taken away from a disk that is full, and what begins anew finds no room either."""
    words = [_FULL, _DAMAGE]

    def refuse(*_: object, **_options: object) -> None:
        raise Exception(words.pop())

    store = disk.open()
    with monkeypatch.context() as patch:
        patch.setattr(store.rocksdb_options, "open", refuse)
        with pytest.raises(DiskTrouble, match="seen\\[0\\]: IO error: No space left on device"):
            store.open(0)
    store.open(0)
    assert (store.persisted_offset(TPS[0]), disk.wiped) == (None, 1)
    close(store)


def test_a_disk_that_takes_no_more_is_not_wiped(disk: Disk) -> None:
    """A limit on the size of files stands for a full disk: RocksDB cannot write what it writes when it opens."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from tests.unit.test_table_files import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); disk = Disk(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try: disk.open(0)\n"
        "except DiskTrouble as error: print(error)\n"
        "print('wiped', disk.wiped)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(disk.folder)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "File too large" in told
    assert told.endswith("wiped 0\n")
    store = disk.open(0)
    assert store.persisted_offset(TPS[0]) == 399
    close(store)


@pytest.mark.parametrize(
    "words",
    [
        "No space left on device (os error 28)",
        "IO error: No space left on device: While appending to file: seen-0.db/MANIFEST-000013",
        "Read-only file system (os error 30)",
        "IO error: While open a file for appending: seen-0.db/LOG: Read-only file system",
        "Corruption: IO error: Input/output error: While pread offset 0 len 48: seen-0.db/000009.sst",
        "IO error: While lock file: seen-0.db/LOCK: Resource temporarily unavailable",
        "IO error: lock hold by current process, acquire time 1795969972: seen-0.db/LOCK: No locks available",
        "IO error: While open a file for random read: seen-0.db/000009.sst: Too many open files",
        "Permission denied (os error 13)",
    ],
)
def test_what_the_machine_lacks_is_no_damage(words: str) -> None:
    """As RocksDB 10 and rocksdict say it; the first four on a full and on a read-only file system."""
    assert not is_damage(Exception(words))
