"""Real processes for tests and the demo: workers and the simulated risk API; each is ended by its own id."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.forks.client import start
from devtools.wait import wait_for

ROOT = Path(__file__).resolve().parents[1]
#: A worker joins its group and recovers its tables first; on a loaded machine with two cores.
_READY_WITHIN = 180.0
_STOP_WITHIN = 60.0
_TAIL = 4_000


def clean_environ(values: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the user's CREDITSTREAM_… settings, plus `values`; finds the checkout."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDITSTREAM_")}
    path = os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH", "")]))
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(values or {})}


def http(url: str, body: object = None, timeout: float = 10.0) -> Any:
    """JSON (or text) of a GET, or of a POST of `body`. Raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        text = answer.read().decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


def answers(url: str) -> bool:
    """Whether a GET is answered with 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


class Program:
    """A process with its output in a file, in a session of its own."""

    def __init__(self, command: list[str], environ: Mapping[str, str], folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / f"{name}.log"
        self._name = name
        with self.log_file.open("ab") as output:
            self._process = start(command, environ, folder, stdout=output)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until_answers(self, url: str, deadline: float = _READY_WITHIN) -> None:
        """Fails with the end of the log."""
        try:
            wait_for(lambda: self.exit_code is not None or answers(url), deadline, f"{self._name} answers at {url}")
            if self.exit_code is not None:
                raise AssertionError(f"{self._name} ended with {self.exit_code}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- end of {self.log_file}\n{self.log()[-_TAIL:]}") from None

    def send(self, number: signal.Signals) -> None:
        """A signal to the process alone (SIGSTOP freezes it, SIGCONT lets it go on)."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and it is gone when this returns."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_STOP_WITHIN)

    def stop(self, deadline: float = _STOP_WITHIN) -> int:
        """SIGTERM; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait(deadline)

    def wait(self, deadline: float = _STOP_WITHIN) -> int:
        """Its exit code once it has ended by itself."""
        try:
            return self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._name} runs after {deadline:g} s\n{self.log()[-_TAIL:]}") from None

    def discard(self) -> None:
        """For teardown: ends it and what it started, whatever state it is in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_WITHIN)


class Worker(Program):
    """`faust -A creditstream worker`."""

    def __init__(
        self, environ: Mapping[str, str], folder: Path, name: str, *, command: list[str] | None = None
    ) -> None:
        self.url = f"http://127.0.0.1:{environ['CREDITSTREAM_WEB_PORT']}"
        super().__init__(command or faust_command("worker"), clean_environ(environ), folder, name)

    def wait_until_ready(self, deadline: float = _READY_WITHIN) -> None:
        self.wait_until_answers(f"{self.url}/health/ready", deadline)

    def get(self, path: str) -> Any:
        return http(self.url + path)


class RiskApiProcess(Program):
    """`python -m creditstream.simulation.risk_api`. `control` is its POST /control, `journal` its GET /journal."""

    def __init__(self, port: int, folder: Path, *options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "creditstream.simulation.risk_api", "--port", str(port), *options]
        super().__init__(command, clean_environ(), folder, "risk_api")

    def wait_until_ready(self) -> None:
        self.wait_until_answers(f"{self.url}/health")

    def control(self, **changes: object) -> Any:
        return http(f"{self.url}/control", changes)

    def journal(self) -> Any:
        return http(f"{self.url}/journal")


def faust_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "faust", "-A", "creditstream", *arguments]
