"""An earlier version of the program, to run beside this one: upgrades and rollbacks under load.

The one that the test suite takes stands in this folder, as a checkout need not have a history; others come out of git.
"""

import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from creditstream.config.settings import PREFIX
from devtools.programs import ROOT, clean_environ
from devtools.stack import StackError
from tests.support.archives import unpack

#: N-1: the version that the next release must run beside. CONTRIBUTING.md says when and how to move it.
PREVIOUS = "21f6dee6d0bb6934d151ec460e9dbebfa332fc96"
_PREVIOUS_FILES = Path(__file__).with_name("previous.tar.xz")
_PACKAGES = ("creditstream", "agents", "tables", "schemas")
#: Where a version has each of these, the newest first.
_FIND = """
import asyncio, importlib, os

def find(name, *modules):
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
    raise SystemExit(f"this version has no {name} where one was before")

Settings = find("Settings", "creditstream.config.settings", "creditstream.settings")
config = ("creditstream.config.load", "creditstream.config.settings", "creditstream.settings")
load_settings = find("load_settings", *config)
create_topics = find("create_topics", "creditstream.kafka.topics", "creditstream.topics")
migrate = find("migrate", "creditstream.store.migrations")
"""
_SETTINGS = f"{_FIND}\nprint(importlib.import_module('creditstream').__file__, *Settings.__struct_fields__)"
_PREPARE = f"""{_FIND}
async def prepare(settings):
    partitions = await create_topics(settings)
    applied = await migrate(settings.postgres_dsn.reveal())
    return f"{{partitions}} partitions, {{len(applied)}} migrations applied"

print(asyncio.run(prepare(load_settings(os.environ))))
"""


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
    commit = PREVIOUS if revision == PREVIOUS else _commit(revision)
    code = folder.absolute() / commit
    if not code.exists():
        part = code.with_suffix(".part")
        with _files(commit) as archive:
            unpack(archive, part)
        part.rename(code)
    file, *names = _python(code, _SETTINGS, {"PYTHONPATH": str(code)}).split()
    if not Path(file).is_relative_to(code):
        raise StackError(f"{commit[:7]} does not run: Python finds creditstream in {file}")
    return Version(commit[:7], code, frozenset(f"{PREFIX}{name.upper()}" for name in names))


def _files(commit: str) -> tarfile.TarFile:
    if commit == PREVIOUS:
        return tarfile.open(_PREVIOUS_FILES)
    return tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit, "--", *_PACKAGES).stdout))


def _commit(revision: str) -> str:
    done = _git("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
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
