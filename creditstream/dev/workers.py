"""Real worker processes for the demo, the tests and the benchmark: `faust -A creditstream worker`, and its end."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

#: A kernel that is asked kills at once; a worker that is asked to stop drains first.
_KILL_WAIT = 10.0
_STOP_WAIT = 60.0
_POLL = 0.05
_TAIL = 30


class WorkerFailed(Exception):
    """The worker ended, or was not ready in time: the text holds its log's last lines."""


class Worker:
    """One worker process. `environ`: the CREDITSTREAM_… settings; each worker has its data directory and web port."""

    def __init__(self, environ: Mapping[str, str], *, folder: Path, port: int, directory: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.log_file = port, folder / "log"
        settings = {"CREDITSTREAM_DATA_DIR": str(folder / "data"), "CREDITSTREAM_WEB_PORT": str(port)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CREDITSTREAM_")}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "faust", "-A", "creditstream", "worker"],
                env={**kept, **environ, **settings},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5):
                return True
        except OSError:
            return False

    def wait_ready(self, within: float) -> Self:
        """Raises WorkerFailed."""
        deadline = time.monotonic() + within
        while not self.is_ready():
            if not self.alive():
                raise WorkerFailed(f"the worker ended with exit code {self.process.returncode}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise WorkerFailed(f"the worker was not ready within {within:.0f} s:\n{self._tail()}")
            time.sleep(_POLL)
        return self

    def kill(self) -> None:
        """SIGKILL: what it had not finished is the others' to finish."""
        self.process.kill()
        self.process.wait(_KILL_WAIT)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM: it drains, commits and leaves. Its exit code."""
        self.process.terminate()
        return self.process.wait(_STOP_WAIT)

    def ensure_gone(self) -> None:
        if self.alive():
            self.kill()

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-_TAIL:])
