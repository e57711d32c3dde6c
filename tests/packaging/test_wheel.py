"""The wheel: exactly four top-level packages, their data in it, and it works where there is no checkout."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"creditstream", "agents", "tables", "schemas"}
#: Files that are not Python and that the program reads at run time, by ending.
DATA = {".sql", ".json", ".toml", ".yaml", ".yml", ".html", ".css", ".js", ".svg", ".png", ".ico", ".woff2", ".txt"}


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: building leaves a `build` folder, from which a later build would take files that are gone."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."], source)
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel, and the packages that it needs from this one."""
    folder = tmp_path_factory.mktemp("venv")
    run([sys.executable, "-m", "venv", "--without-pip", "."], folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", "--quiet"]
    run([*pip, str(wheel)], folder)
    [site] = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched, but its own .pth files are not: the checkout stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_it_owns_exactly_four_names(contents: set[str]) -> None:
    assert {name.split("/")[0] for name in contents if ".dist-info/" not in name} == PACKAGES
    [top] = [name for name in contents if name.endswith(".dist-info/top_level.txt")]
    assert top.startswith("creditstream-0.1.0")


def test_everything_but_caches_is_in_it(contents: set[str]) -> None:
    there = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and (path.suffix in DATA | {".py"}) and "__pycache__" not in path.parts
    }
    assert there - contents == set()
    assert any(name.startswith("creditstream/store/sql/migrations/") for name in there)
    assert any(name.startswith("creditstream/web/") and name.endswith(".html") for name in there)


def test_no_file_is_of_a_kind_that_the_build_does_not_know() -> None:
    known = DATA | {".py", ".typed", ".pyc"}
    unknown = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in known and path.name != "py.typed"
    }
    assert unknown == set(), "add the ending to [tool.setuptools.package-data] and to DATA here"


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_it_imports_without_the_checkout(installed: Path, name: str, tmp_path: Path) -> None:
    found = run([str(installed), "-I", "-c", f"import {name}; print({name}.__file__)"], tmp_path).strip()
    assert Path(found).is_relative_to(installed.parents[1])


def test_its_data_reads_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "from creditstream.store.migrations import shipped; print(len(shipped()))"
    assert int(run([str(installed), "-I", "-c", code], tmp_path)) >= 1


def test_the_version_is_the_distributions(installed: Path, tmp_path: Path) -> None:
    code = "from creditstream.version import VERSION; print(VERSION)"
    assert run([str(installed), "-I", "-c", code], tmp_path).strip() == "0.1.0"
