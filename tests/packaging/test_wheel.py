"""The wheel: exactly four packages with their data, the same bytes wherever it is built, at work without a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"creditstream", "agents", "tables", "schemas"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
LONG_AGO = 1_000_000_000


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(source: Path) -> Path:
    """What a build is made from."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    return source


def built(source: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."], source)
    [wheel] = (source / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(copied(tmp_path_factory.mktemp("source")))


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
    assert {name.split("/")[0] for name in contents} == PACKAGES | {f"creditstream-{VERSION}.dist-info"}


def test_everything_but_caches_is_in_it(contents: set[str]) -> None:
    there = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there - contents == set()
    assert any(name.startswith("creditstream/store/sql/migrations/") for name in there)
    assert any(name.startswith("creditstream/web/") and name.endswith(".html") for name in there)


def test_another_folder_time_and_umask_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    source = copied(tmp_path / "elsewhere")
    for path in (source, *source.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (LONG_AGO, LONG_AGO))
    before = os.umask(0o077)
    try:
        again = built(source)
    finally:
        os.umask(before)
    assert again.name == wheel.name == f"creditstream-{VERSION}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()


def test_the_backend_is_the_locks() -> None:
    """Another one may write other bytes; a build outside this environment would fetch the newest."""
    [backend] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert f"\n{backend} \\\n" in (ROOT / "requirements" / "lock.txt").read_text()


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_it_imports_without_the_checkout(installed: Path, name: str, tmp_path: Path) -> None:
    found = run([str(installed), "-I", "-c", f"import {name}; print({name}.__file__)"], tmp_path).strip()
    assert Path(found).is_relative_to(installed.parents[1])


def test_its_data_reads_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "from creditstream.store.migrations import shipped; print(len(shipped()))"
    assert int(run([str(installed), "-I", "-c", code], tmp_path)) >= 1


def test_the_version_is_the_distributions(installed: Path, tmp_path: Path) -> None:
    code = "from creditstream.version import VERSION; print(VERSION)"
    assert run([str(installed), "-I", "-c", code], tmp_path).strip() == VERSION
