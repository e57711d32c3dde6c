"""A slow check's answer is kept while nothing changes that it reads, and only a good one."""

import subprocess
from pathlib import Path

import pytest

from tests.support import kept


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(kept, "_ANSWERS", tmp_path / "answers")
    return []


def test_it_is_asked_again_when_a_file_the_command_or_the_version_is_another(asked: list[int], tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"

    def answer(text: str, option: str = "-x", version: int = 1) -> str:
        def ask() -> subprocess.CompletedProcess[str]:
            asked.append(len(asked))
            return subprocess.CompletedProcess([], 0, f"answer {len(asked)}", "")

        file.write_text(text)
        return kept.answer_of(["promtool", option], [file], version, ask).stdout

    assert [answer("a"), answer("a"), answer("b"), answer("a")] == ["answer 1", "answer 1", "answer 2", "answer 1"]
    assert [answer("a", "-y"), answer("a", "-y"), answer("a", version=2)] == ["answer 3", "answer 3", "answer 4"]


def test_a_complaint_is_made_each_time(asked: list[int]) -> None:
    def ask() -> subprocess.CompletedProcess[str]:
        asked.append(len(asked))
        return subprocess.CompletedProcess([], 1, "", "no")

    assert [kept.answer_of(["promtool"], [], 1, ask).returncode for _ in range(2)] == [1, 1]
    assert len(asked) == 2
