"""What a machine cannot have is left out with one line; where nothing may be left out, that line is an error."""

from pathlib import Path

import pytest

from tests.support import debian, shelf
from tests.support.left_out import NotHere, left_out


@pytest.fixture
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty PATH and an empty download cache."""
    monkeypatch.setattr(shelf, "_SHELF", tmp_path / "shelf")
    monkeypatch.setattr(shelf, "_refused", {})
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_test_is_skipped_or_fails_where_nothing_is_left_out() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"^no such tool$"):
        left_out(NotHere("no such tool"), {})
    with pytest.raises(pytest.fail.Exception, match=r"^no such tool .TEST_ALL"):
        left_out(NotHere("no such tool"), {"TEST_ALL": "1"})


def test_without_apt_its_programs_are_named(nothing_there: None) -> None:
    with pytest.raises(NotHere, match=r"^prometheus is not on the PATH, and there is no apt-get to get it with"):
        debian.unpacked("prometheus")


def test_a_program_for_another_machine_is_named(nothing_there: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(NotHere, match=r"^no helm for this machine comes in a wheel: install 4"):
        shelf.program("helm", "4.1.4", lambda part: None)


def test_other_content_than_was_pinned_is_never_left_out(nothing_there: None, tmp_path: Path) -> None:
    says = ["/bin/sh", "-c", "echo ERROR: THESE PACKAGES DO NOT MATCH THE HASHES; exit 1"]
    with pytest.raises(AssertionError, match="DO NOT MATCH"):
        shelf.download("it", says, folder=tmp_path)
    with pytest.raises(NotHere, match=r"^it cannot be had: sh says no route$"):
        shelf.download("it", ["/bin/sh", "-c", "echo no route >&2; exit 1"], folder=tmp_path)
