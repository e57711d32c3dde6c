"""Prometheus and promtool: the machine's, else those of Debian's package."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from devtools.programs import Program, clean_environ, http
from devtools.stack.ports import free_port
from tests.support.debian import unpacked
from tests.support.kept import answer_of


def binary(name: str) -> str:
    """`prometheus` or `promtool`."""
    found = shutil.which(name)
    if found:
        return found
    return str(unpacked("prometheus") / "usr" / "bin" / name)


def promtool(*arguments: str, reads: Iterable[Path] | None = None) -> str:
    """Its output; it must succeed. With the files that it reads, its answer is kept until one of them changes."""
    command = [binary("promtool"), *arguments]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    done = run() if reads is None else answer_of(command, reads, Path(command[0]).stat().st_size, run)
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
