"""What the program is made of: one lock within the other, licences that are known, a whole bill of materials."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scripts import licences, sbom

ROOT = Path(__file__).resolve().parents[2]
_PINNED = re.compile(r"^(\S+)==(\S+)[^\n]*((?:\n +--hash=sha256:[0-9a-f]{64}[ \\]*)+)", re.MULTILINE)
Lock = dict[str, tuple[str, set[str]]]


def lock(name: str) -> Lock:
    """Versions and hashes by package."""
    found = _PINNED.findall((ROOT / "requirements" / name).read_text())
    return {package: (version, set(re.findall(r"sha256:(\w+)", hashes))) for package, version, hashes in found}


RUNTIME = lock("runtime.txt")


@pytest.mark.parametrize("part", ["runtime.txt", "build.txt"])
def test_the_images_locks_are_parts_of_the_whole_one(part: str) -> None:
    whole = lock("lock.txt")
    assert {name: whole.get(name) for name in lock(part)} == lock(part)
    assert 10 < len(lock(part)) < len(whole) / 2


def test_it_has_what_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["msk"]]
    names = {re.split(r"[\[=>]", each)[0].replace("_", "-").lower() for each in wanted}
    assert names <= {name.replace("_", "-") for name in RUNTIME}


def test_the_list_of_licences_is_current_and_has_no_strange_one() -> None:
    packages = licences.installed(RUNTIME)
    assert licences.strange(packages) == []
    assert {package.name.replace("_", "-").lower() for package in packages} == {n.replace("_", "-") for n in RUNTIME}
    assert licences.PAGE.read_text() == licences.page(packages), "run `make licences`"


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "MIT OR (SSPL-1.0)", "UNKNOWN", "BSD License"]
)
def test_a_strange_licence_would_be_seen(licence: str) -> None:
    package = licences.Package("new-one", "1.0", licences.normal("new-one", licence))
    assert licences.strange([package])


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Written, and held against the schema."""
    folder = tmp_path_factory.mktemp("bill")
    assert sbom.write(folder) == 0
    return (folder / sbom.NAME).read_bytes()


def test_the_bill_of_materials_names_all_with_version_and_hashes(bill: bytes) -> None:
    document = json.loads(bill)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert {each["name"]: (each["version"], hashes(each)) for each in document["components"]} == RUNTIME
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert document["metadata"]["component"]["version"] == project["version"]


def hashes(component: dict[str, Any]) -> set[str]:
    return {each["content"] for place in component["externalReferences"] for each in place["hashes"]}


def test_the_bill_of_materials_is_the_same_again(bill: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert sbom.write(tmp_path, validate=False) == 0
    assert (tmp_path / sbom.NAME).read_bytes() == bill
