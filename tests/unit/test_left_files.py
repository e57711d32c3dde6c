"""Files of partitions that moved away are kept for a while, since they often come back, and then removed."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from creditstream.kafka.left_files import LeftFiles


class Disk:
    def __init__(self, folder: Path, *partitions: int) -> None:
        self._folder = folder
        for partition in partitions:
            (folder / f"seen-{partition}.db").mkdir()
            (folder / f"seen-{partition}.db" / "CURRENT").write_text("MANIFEST-000001")

    def on_disk(self) -> Mapping[int, Path]:
        return {int(path.stem.removeprefix("seen-")): path for path in self._folder.iterdir()}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_only_what_is_another_workers_for_long_is_removed(tmp_path: Path, clock: Clock) -> None:
    disk = Disk(tmp_path, 0, 1, 2)
    left = LeftFiles(disk, clock)
    left.look(frozenset([0]))
    clock.now += 600
    left.look(frozenset([0, 1]))
    clock.now += 299
    left.look(frozenset([0]))
    assert sorted(disk.on_disk()) == [0, 1, 2]
    clock.now += 1
    left.look(frozenset([0]))
    assert sorted(disk.on_disk()) == [0, 1], "the one that came back is counted anew"
    clock.now += 900
    left.look(frozenset())
    assert sorted(disk.on_disk()) == [0]


def test_a_worker_without_partitions_for_the_time_of_a_rebalance_keeps_all(tmp_path: Path, clock: Clock) -> None:
    disk = Disk(tmp_path, 0)
    left = LeftFiles(disk, clock)
    for _ in range(100):
        left.look(frozenset())
        clock.now += 30
        left.look(frozenset([0]))
        clock.now += 3_600
    assert sorted(disk.on_disk()) == [0]


def test_what_cannot_be_removed_is_tried_later(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said each time, not with each look."""

    def refuse(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    disk, left = Disk(tmp_path, 0), LeftFiles(Disk(tmp_path), clock)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        left.look(frozenset())
        for _ in range(10):
            clock.now += 180
            left.look(frozenset())
    assert caplog.text.count("seen-0.db: not removed, trying again in 900 s: [Errno 13] Permission denied") == 2
    clock.now += 900
    left.look(frozenset())
    assert not disk.on_disk()


def test_a_removal_that_a_crash_interrupts_leaves_no_database(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RocksDB would read what is left of its logs, and miss nothing."""

    def crash(_folder: Path) -> None:
        raise KeyboardInterrupt

    disk, left = Disk(tmp_path, 0), LeftFiles(Disk(tmp_path), clock)
    monkeypatch.setattr(shutil, "rmtree", crash)
    left.look(frozenset())
    clock.now += 900
    with pytest.raises(KeyboardInterrupt):
        left.look(frozenset())
    assert not (disk.on_disk()[0] / "CURRENT").exists()
