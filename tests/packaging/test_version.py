"""The version stands in pyproject.toml; whatever else names it says the same."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
#: Our image with a tag, and a chart's word for the version that it installs.
NAMED = re.compile(r"\bcreditstream:v?(\d[\w.+-]*\w)|^appVersion: *\"?([^\"\s]*)", re.MULTILINE)
LOOKED_AT = [
    path
    for path in (*ROOT.glob("*"), *ROOT.glob("docs/**/*"), *ROOT.glob("deploy/**/*"))
    if path.suffix in {".md", ".yml", ".yaml", ".json", ".tpl", ".txt", ".sh"} or path.name == "Dockerfile"
]


def named(path: Path) -> set[str]:
    return {image or chart for image, chart in NAMED.findall(path.read_text())}


CARRIERS = {str(path.relative_to(ROOT)): versions for path in LOOKED_AT if (versions := named(path))}
CHARTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("Chart.yaml"))


def test_the_program_says_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "creditstream", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"creditstream {VERSION} (faust-streaming ")


@pytest.mark.parametrize("name", CARRIERS)
def test_a_file_that_names_a_version_names_this_one(name: str) -> None:
    assert CARRIERS[name] == {VERSION}


def test_the_files_are_found() -> None:
    assert {"docker-compose.yml", "docs/how-to/docker-compose.md", *CHARTS} <= CARRIERS.keys()
    for chart in CHARTS:
        assert yaml.safe_load((ROOT / chart).read_text())["appVersion"] == VERSION, "a string, so in quotes"


@pytest.mark.parametrize(
    "line", ['appVersion: "9.9.9"', "appVersion: 9.9.9", "image: creditstream:9.9.9", "creditstream:v9.9.9."]
)
def test_another_version_would_be_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "file").write_text(f"name: creditstream\n{line}\n")
    assert named(tmp_path / "file") == {"9.9.9"}


def test_the_changelog_tells_of_it_and_of_what_comes() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", VERSION]
