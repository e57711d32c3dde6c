"""The checks before a commit are those of `make lint`; the changelog has the form that it says it has."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
#: Of Keep a Changelog 1.1, in this order.
_KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def linted() -> list[str]:
    """The commands of the target `lint`, without the install."""
    makefile = (ROOT / "Makefile").read_text()
    python = re.search(r"^PY = (.+)$", makefile, re.MULTILINE)
    recipe = re.search(r"^lint:.*\n\t\$\(INSTALL\) (.+)$", makefile, re.MULTILINE)
    assert python and recipe
    return [command.replace("$(PY)", python[1]).strip() for command in recipe[1].split("&&")]


def test_the_checks_before_a_commit_are_those_of_make_lint() -> None:
    [repo] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local", "nothing is fetched"
    assert [hook["entry"] for hook in repo["hooks"]] == linted()
    assert {(hook["language"], hook["pass_filenames"]) for hook in repo["hooks"]} == {("system", False)}


def test_each_version_has_its_changes_by_kind() -> None:
    versions = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    for version in versions:
        assert re.match(r"\[(Unreleased\]|\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)$", version.splitlines()[0])
        kinds = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert kinds and kinds == [kind for kind in _KINDS if kind in kinds], "each once, in this order"


def test_contributing_is_one_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 60
