"""cfn-lint and checkov in a virtual environment of their own, from requirements/cloud.txt; and how they are asked."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from tests.support.kept import answer_of, files_of
from tests.support.servers import LOCAL, ROOT

TEMPLATES = ROOT / "deploy" / "aws"
_LOCK = ROOT / "requirements" / "cloud.txt"
_VENV = LOCAL / "cloud"
#: A hundred packages, 90 MB to fetch.
_INSTALL_WITHIN = 900.0
_CHECK_WITHIN = 300.0
#: Whoever asks the network is told at once that there is none.
_OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


def ask(program: str, *arguments: str, folder: Path = TEMPLATES) -> subprocess.CompletedProcess[str]:
    """`cfn-lint` or `checkov`, without a network, in the folder of the templates. They take half a minute."""

    def run() -> subprocess.CompletedProcess[str]:
        install()
        environ = {**os.environ, **_OFFLINE}
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=_CHECK_WITHIN, check=False
        )

    command = [str(_VENV / "bin" / program), *arguments]
    return answer_of(command, files_of(folder), (sys.version, _LOCK.read_bytes()), run)


def install() -> None:
    """Once per lock file; a second test process waits for the first."""
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "cloud.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = _VENV / ".installed", _LOCK.read_text()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        _run([sys.executable, "-m", "venv", "--clear", str(_VENV)])
        pip = [str(_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Most of what checkov brings is never imported here.
        _run([*pip, "--no-compile", "--no-deps", "--require-hashes", "-r", str(_LOCK)])
        stamp.write_text(wanted)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_WITHIN, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
