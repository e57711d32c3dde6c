"""Files of partitions that moved away are kept for a while, since they often come back, and then removed."""

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
