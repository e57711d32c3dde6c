"""How the browser tests come by their browser."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.chromium import NoBrowser, chromium


def program(path: Path, text: str = "") -> Path:
    path.write_text(f"#!{shutil.which('sh')}\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty machine's environment, and we are root on it."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return {"PATH": str(tmp_path)}


def test_one_that_is_there_or_named_is_taken(tmp_path: Path, machine: dict[str, str]) -> None:
    there, named = program(tmp_path / "chromium"), program(tmp_path / "mine")
    assert chromium(machine) == str(there)
    assert chromium({**machine, "CHROMIUM": str(named)}) == str(named)
    with pytest.raises(NoBrowser, match="CHROMIUM=/nowhere is no program"):
        chromium({**machine, "CHROMIUM": "/nowhere"})


def test_root_installs_it_without_being_asked(tmp_path: Path, machine: dict[str, str]) -> None:
    text = f"""echo "$DEBIAN_FRONTEND $*"
case "$*" in *install*chromium*) {shutil.which("cp")} "$0" {tmp_path / "chromium"};; esac"""
    program(tmp_path / "apt-get", text)
    log = tmp_path / "log"
    assert chromium(machine, log) == str(tmp_path / "chromium")
    update, install = log.read_text().splitlines()
    assert update.startswith("noninteractive -y") and update.endswith("update")
    assert install.endswith("install --no-install-recommends chromium fonts-dejavu-core")


def test_an_install_that_fails_names_its_log(tmp_path: Path, machine: dict[str, str]) -> None:
    program(tmp_path / "apt-get", "exit 100")
    with pytest.raises(NoBrowser, match=rf"apt-get update ended with 100\): see {tmp_path}"):
        chromium(machine, tmp_path / "log")


def test_others_are_told_what_to_do(machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NoBrowser, match="apt install chromium"):
        chromium(machine)
