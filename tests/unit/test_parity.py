"""The README's table of what plays which part, and the page with its tests: every system is there, and each test."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from creditstream.config.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
#: As the scenario names them.
_SYSTEMS = (
    *("Kinesis Data Streams", "SQS", "Kinesis shards", "Lambda", "concurrency", "risk API", "DynamoDB", "transactions"),
    *("data model", "indexes", "partitions by month", "vertical scaling", "read replicas", "ElastiCache", "QuickSight"),
    *("Datadog", "alerts"),
)
_NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


class Part(NamedTuple):
    """A line of the README's table, and the tests that the parity page has for it."""

    scenario: str
    here: str
    shown_by: str


def parts() -> list[Part]:
    section = (ROOT / "README.md").read_text().split("## What plays which part")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [Part(scenario, here, shown().get(scenario, "")) for scenario, here in lines[2:]]


def shown() -> dict[str, str]:
    """The page's entries: the scenario's words, and what stands below them."""
    entries = (ROOT / "docs" / "reference" / "parity.md").read_text().split("\n- **")[1:]
    return {title: below for title, _, below in (entry.partition("**") for entry in entries)}


def functions(file: str) -> set[str]:
    """Of the module itself, by its source: nothing is imported, so nothing has to run."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.scenario)
def test_each_part_is_shown_by_tests_that_exist(part: Part) -> None:
    named = _NODE.findall(part.shown_by)
    assert named, "no test"
    assert [f"`{file}::{test}`" for file, test in named] == part.shown_by.split()
    for file, test in named:
        assert test.startswith("test_") and test in functions(file), f"{file}::{test}"


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.scenario)
def test_files_and_settings_that_are_named_exist(part: Part) -> None:
    for name in re.findall(r"`([^`]+)`", part.here):
        if name.startswith(PREFIX):
            assert name.removeprefix(PREFIX).lower() in Settings.__struct_fields__, name
        elif "/" in name.strip("/"):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("system", _SYSTEMS)
def test_every_system_of_the_scenario_is_there(system: str) -> None:
    assert any(system.lower() in part.scenario.lower() for part in parts())


def test_the_page_has_the_same_lines_as_the_table() -> None:
    assert [*shown()] == [part.scenario for part in parts()]


def test_a_test_that_is_not_there_is_not_found() -> None:
    assert "test_promtool_agrees" in functions("tests/unit/test_monitoring_files.py")
    assert "test_promtool_agreed" not in functions("tests/unit/test_monitoring_files.py")
