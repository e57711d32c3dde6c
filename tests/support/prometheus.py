"""Prometheus and promtool: the machine's, else Debian's package, fetched once into the download cache, without root."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from creditstream.dev.programs import Program, clean_environ, http
from creditstream.dev.stack.ports import free_port
from tests.support.servers import LOCAL

#: 19 MB and the package lists.
_DOWNLOAD_WITHIN = 300.0


def binary(name: str) -> str:
    """`prometheus` or `promtool`."""
    found = shutil.which(name)
    if found:
        return found
    shelf = LOCAL / "cache" / "prometheus"
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shelf / "package").is_dir():
            _fetch(shelf)
    return str(shelf / "package" / "usr" / "bin" / name)


def _fetch(shelf: Path) -> None:
    """With package lists of its own: a fresh machine has none, and only root may write the machine's."""
    part = shelf / "part"
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("lists/partial", "archives/partial"):
        (part / folder).mkdir(parents=True)
    own = {"Dir::State::Lists": part / "lists", "Dir::Cache": part, "APT::Sandbox::User": "root", "Debug::NoLocking": 1}
    apt = ["apt-get", "-q", *(word for key, value in own.items() for word in ("-o", f"{key}={value}"))]
    _run([*apt, "update"], part)
    _run([*apt, "download", "prometheus"], part)
    [package] = part.glob("prometheus_*.deb")
    _run(["dpkg-deb", "-x", str(package), str(part / "package")], part)
    (part / "package").rename(shelf / "package")
    shutil.rmtree(part)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_DOWNLOAD_WITHIN, check=False
        )
    except FileNotFoundError:
        raise AssertionError(
            f"{command[0]} is not here: install Prometheus with promtool, so that both are on the PATH"
        ) from None
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


def promtool(*arguments: str) -> str:
    """Its output; it must succeed."""
    done = subprocess.run([binary("promtool"), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Prometheus(Program):
    """A server of a test's own: `.query("up")`."""

    def __init__(self, config: Path, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            binary("prometheus"),
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
        ]
        super().__init__(command, clean_environ(), folder, "prometheus")
        self.wait_until_answers(f"{self.url}/-/ready")

    def api(self, path: str, **parameters: str) -> Any:
        answer = http(f"{self.url}/api/v1/{path}?{urlencode(parameters)}")
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series, now."""
        return [(one["metric"], float(one["value"][1])) for one in self.api("query", query=expression)["result"]]

    def value(self, expression: str) -> float | None:
        """Of the one series that the expression gives; None when it gives none."""
        found = self.query(expression)
        return found[0][1] if found else None


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[Prometheus]:
    server = Prometheus(config, folder)
    try:
        yield server
    finally:
        server.discard()
