"""Filling over RocksDB's own files: what goes wrong on the disk while it reads costs look-ups, and no worker."""

from pathlib import Path
from typing import Any

import pytest

from creditstream.kafka.table_files import TableFiles
from tests.unit.test_filling import Rig, marks
from tests.unit.test_table_files import TPS, Broken, Disk, close

_DAMAGE, _FULL = "Corruption: block checksum mismatch", "IO error: No space left on device"


class OnDisk(Rig):
    """A worker's table, empty on its disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        super().__init__(monkeypatch)
        self.disk = Disk(folder)
        self.store: TableFiles = self.disk.open()
        filled: Any = self.filling
        filled._files = filled._left._files = self.store

    def breaks(self, words: str) -> None:
        self.store._dbs[0] = Broken(Exception(words))


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OnDisk:
    return OnDisk(monkeypatch, tmp_path)


@pytest.mark.parametrize("words", [_DAMAGE, _FULL])
@pytest.mark.parametrize("use", ["mark", "read"])
def test_what_an_order_gives_up_while_it_is_filled_is_filled_anew(rig: OnDisk, words: str, use: str) -> None:
    """Filling finds it closed. Called whole, what is not found there would be taken for new."""
    rig.log.records |= {0: marks(7), 1: marks(7)}

    def breaks() -> None:
        if sum(each for each in rig.slices if each < 10) == 6:
            rig.breaks(words)
            if use == "mark":
                rig.log.records[0].append((b"own", b"mark"))
                rig.store.mark(TPS[0], [(b"own", b"mark")], 7)
            else:
                assert rig.store.read(0, b"1") is None

    rig.log.on_read = breaks
    rig.filling.own(frozenset([0, 1]))
    rig.once()
    assert (rig.store.is_whole(0), rig.store.is_whole(1), rig.filling.missing) == (False, True, 0)
    rig.log.on_read = lambda: None
    rig.once()
    assert rig.store.is_whole(0)
    assert None not in [rig.store.read(0, key) for key, _ in rig.log.records[0] if key]
    close(rig.store)


def test_what_is_given_up_while_it_is_asked_where_the_log_ends_is_not_whole(
    rig: OnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention has left nothing of its changelog: there is nothing to read, and it is closed."""
    rig.log.first[0] = 0
    ends = rig.log.end_offsets

    async def breaks(partitions: Any) -> Any:
        rig.breaks(_FULL)
        assert rig.store.read(0, b"1") is None
        return await ends(partitions)

    monkeypatch.setattr(rig.log, "end_offsets", breaks)
    rig.filling.own(frozenset([0]))
    rig.once()
    assert not rig.store.is_whole(0)
    close(rig.store)


def test_what_is_open_is_not_removed_however_long_a_rebalance_takes(
    rig: OnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka may be away for an hour in the middle of it: the files are in use, and their partitions come back."""
    rig.log.records |= {0: marks(3), 1: marks(3)}
    rig.filling.own(frozenset([0, 1]))
    rig.once()
    rig.filling.own(None)
    monkeypatch.setattr("creditstream.kafka.left_files._KEPT", 0.0)
    rig.once()
    assert sorted(rig.store.on_disk()) == [0, 1]
    rig.filling.own(frozenset([0]))
    rig.once()
    assert sorted(rig.store.on_disk()) == [0], "that one is another worker's"
    close(rig.store)
