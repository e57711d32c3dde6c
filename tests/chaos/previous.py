"""An earlier version of the program, out of git, to run beside this one: upgrades and rollbacks under load."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from creditstream.dev.programs import ROOT, clean_environ
from creditstream.dev.stack import StackError
from creditstream.settings import PREFIX

#: N-1: the version that the next release must run beside. CONTRIBUTING.md says when to move it.
PREVIOUS = "21f6dee6d0bb6934d151ec460e9dbebfa332fc96"
_PACKAGES = ("creditstream", "agents", "tables", "schemas")
_SETTINGS = "import creditstream.settings as s; print(s.__file__, *s.Settings.__struct_fields__)"
_PREPARE = "import os; from creditstream.dev.stack.product import prepare_product; print(prepare_product(os.environ))"


class Version(NamedTuple):
    """`code` holds its four packages; `settings` are the environment variables that it knows."""

    revision: str
    code: Path
    settings: frozenset[str]

    def environ(self, values: Mapping[str, str]) -> dict[str, str]:
        """`values` without the settings that this version would refuse, and where Python finds its packages."""
        known = {name: value for name, value in values.items() if name in self.settings}
        return known | {"PYTHONPATH": str(self.code)}

    def prepare(self, environ: Mapping[str, str]) -> str:
        """Topics and migrations by this version itself. Raises StackError."""
        return _python(self.code, _PREPARE, self.environ(environ))


def check_out(revision: str, folder: Path) -> Version:
    """The packages of `revision`, in `folder`/<revision>. Raises StackError: git knows no such revision."""
    commit = _commit(revision)
    code = folder.absolute() / commit
    if not code.exists():
        packed = _git("archive", "--format=tar", commit, "--", *_PACKAGES).stdout
        part = code.with_suffix(".part")
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(part, filter="data")
        part.rename(code)
    file, *names = _python(code, _SETTINGS, {"PYTHONPATH": str(code)}).split()
    if not Path(file).is_relative_to(code):
        raise StackError(f"{commit[:7]} does not run: Python finds creditstream in {file}")
    return Version(commit[:7], code, frozenset(f"{PREFIX}{name.upper()}" for name in names))


def _commit(revision: str) -> str:
    """A shallow clone lacks it: then it is fetched from where the clone came from."""
    wanted = ("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
    done = _git(*wanted)
    if done.returncode:
        _git("fetch", "--quiet", "--depth=1", "origin", revision)
        done = _git(*wanted)
    if done.returncode:
        raise StackError(f"git has no revision {revision} here: `git fetch --unshallow`, or name another one")
    return done.stdout.decode().strip()


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)  # noqa: S607


def _python(code: Path, program: str, environ: Mapping[str, str]) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=code, env=clean_environ(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{code.name[:7]}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return done.stdout.strip()
