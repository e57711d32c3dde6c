"""The audit's temporary files are where they may be large, and are gone afterwards."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.operations.audit.places import Places
from creditstream.operations.audit.scratch import Shelf, Spill, scratch_folder


def test_the_folder_is_in_the_data_directory_and_goes_with_its_audit(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "data"))
    with scratch_folder(settings) as folder:
        assert folder.parent == tmp_path / "data"
        with scratch_folder(settings) as other:
            assert folder.exists() and other != folder, "another audit that is at work is left alone"
    assert list((tmp_path / "data").iterdir()) == []


def test_what_a_killed_audit_has_left_goes_with_the_next_one(tmp_path: Path) -> None:
    dead, alive, others = (tmp_path / name for name in ("audit-dead", "audit-alive", "v1"))
    for folder in (dead, alive, others):
        folder.mkdir()
        (folder / "lock").touch()
    with (alive / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with scratch_folder(Settings(data_dir=str(tmp_path))):
            assert (dead.exists(), alive.exists(), others.exists()) == (False, True, True)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartError) as raised, scratch_folder(Settings(data_dir=str(tmp_path))):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(raised.value).startswith(f"the audit's temporary files in {tmp_path} (CREDITSTREAM_DATA_DIR): No space")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionRefusedError), scratch_folder(Settings(data_dir=str(tmp_path))):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "a server's, not the disk's")
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartError, match="CREDITSTREAM_DATA_DIR"),
        scratch_folder(Settings(data_dir=f"{tmp_path}/file")),
    ):
        pass


def test_entries_of_one_bucket_come_back_in_the_order_of_their_writers(tmp_path: Path) -> None:
    first, second = os.urandom(16), os.urandom(16)
    with Spill(tmp_path, "removed", "b") as late, Spill(tmp_path, "removed", "a") as early:
        late.add(second)
        for _ in range(9_000):  # more than is held back
            early.add(first)
    entries = [Shelf(tmp_path).entries(bucket)["removed"] for bucket in range(256)]
    assert sum(len(each) for each in entries) == 9_001 * 16
    assert max(entries, key=len).startswith(first * 9_000)


def test_places_are_known_by_the_first_word_about_them() -> None:
    places = Places()
    assert places.word(0, 0) is None
    for place in ((3, 7, "late"), (0, 2**48 - 1, "last"), (3, 7, "again"), (0, 1, "late")):
        assert places.add(*place)
    assert not places.add(2**16, 0, "elsewhere") and not places.add(0, 2**48, "elsewhere")
    assert (places.word(3, 7), places.word(0, 2**48 - 1), places.word(0, 2)) == ("late", "last", None)
    assert (len(places), places.counts()) == (3, {"late": 2, "last": 1, "again": 0})
    assert list(places) == [(0, 1, "late"), (0, 2**48 - 1, "last"), (3, 7, "late")]
    assert places.add(3, 6) and places.word(3, 6) == ""
