"""What is checked before a worker starts, without any service."""

import socket
from pathlib import Path

import pytest

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.worker.preflight import check_machine, forget_other_cluster


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_tables_of_other_topics_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """Found by a demo on a fresh cluster: an old `seen` took a new order for one with other content."""
    table = tmp_path / "v1" / "tables" / "seen-0.db"
    table.mkdir(parents=True)
    kept = tmp_path / "notes"
    kept.touch()
    forget_other_cluster(tmp_path, "cluster-1 prefix group")
    assert not table.exists(), "made before anyone wrote down from what"
    table.mkdir(parents=True)
    forget_other_cluster(tmp_path, "cluster-1 prefix group")
    assert table.exists()
    forget_other_cluster(tmp_path, "cluster-2 prefix group")
    assert not table.exists()
    assert kept.exists()


def test_one_data_directory_serves_one_worker(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), web_port=free_port())
    lock = check_machine(settings)
    with pytest.raises(StartError, match="CREDITSTREAM_DATA_DIR"):
        check_machine(settings)
    lock.close()
    check_machine(settings).close()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match="CREDITSTREAM_WEB_PORT"):
            check_machine(Settings(data_dir=str(tmp_path), web_port=port))


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="CREDITSTREAM_DATA_DIR"):
        check_machine(Settings(data_dir=str(tmp_path / "file" / "data"), web_port=free_port()))
