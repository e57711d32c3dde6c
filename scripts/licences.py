"""`make licences`: writes docs/reference/licences.md, the licence of each package that runs, by pip-licenses.

Refuses a licence that is not on the list here: whoever puts one there has read it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "runtime.txt"
PAGE = ROOT / "docs" / "reference" / "licences.md"
#: By SPDX id, and what it asks of us.
ALLOWED = {
    "Apache-2.0": "keep the notice",
    "BSD-2-Clause": "keep the notice",
    "BSD-3-Clause": "keep the notice",
    "BSD-3-Clause-Modification": "keep the notice; a changed file says so",
    "LGPL-3.0-or-later": "used unchanged, as a library of its own that can be exchanged",
    "MIT": "keep the notice",
    "MPL-2.0": "used unchanged: its own files stay under it",
    "PSF-2.0": "keep the notice",
}
#: Names that packages use for an SPDX id.
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
    "Repoze Public License": "BSD-3-Clause-Modification",
}
#: Packages whose word could be several licences: what their LICENSE file is.
_READ = {
    "aiopg": "BSD-2-Clause",
    "faust-streaming": "BSD-3-Clause",
    "mode-streaming": "BSD-3-Clause",
    "psycopg2-binary": "LGPL-3.0-or-later",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "uvloop": "Apache-2.0 OR MIT",
}
_HEAD = """\
# Licences

Of every package that an image gets (`requirements/runtime.txt`), as its metadata say or, where these are vague, its
LICENSE file. Written by `make licences`, which refuses a licence that is not among these; a test holds that the page is
current. Libraries within binary wheels (libpq and OpenSSL in psycopg2, RocksDB in rocksdict) are not listed.

| package | version | licence |
| --- | --- | --- |
"""


class Package(NamedTuple):
    """`licence`: SPDX ids with AND, OR and parentheses."""

    name: str
    version: str
    licence: str


def locked(text: str) -> list[str]:
    """The names in a lock file."""
    return re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE)


def normal(name: str, licence: str) -> str:
    """With SPDX ids where they are known; anything else as it is, to be refused until somebody has read the file."""
    return _READ.get(name) or _SPDX.get(licence, licence)


def strange(packages: Iterable[Package]) -> list[str]:
    """`name: id` for every id that is not allowed; of a choice, all must be."""
    return [
        f"{package.name}: {each}"
        for package in packages
        for each in re.split(r" AND | OR ", re.sub(r"[()]", "", package.licence))
        if each not in ALLOWED
    ]


def installed(names: Iterable[str]) -> list[Package]:
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--with-system", "--packages"]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=True)
    found = [
        Package(each["Name"], each["Version"], normal(each["Name"], each["License"]))
        for each in json.loads(done.stdout)
    ]
    return sorted(found, key=lambda package: package.name.lower())


def page(packages: Iterable[Package]) -> str:
    rows = "".join(f"| {package.name} | {package.version} | {package.licence} |\n" for package in packages)
    asks = "".join(f"| {name} | {what} |\n" for name, what in ALLOWED.items())
    return f"{_HEAD}{rows}\n| licence | what it asks |\n| --- | --- |\n{asks}"


def main() -> int:
    packages = installed(locked(LOCK.read_text()))
    if found := strange(packages):
        print(f"creditstream: licences that are not in scripts/licences.py: {', '.join(found)}", file=sys.stderr)
        return 2
    PAGE.write_text(page(packages))
    print(f"{PAGE.relative_to(ROOT)}: {len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
