"""The browser for the tests: Chromium as it is on the machine, else Debian's package, installed when we are root."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

#: As distributions name it. A snap's wrapper is no browser that can be driven, but it is in none of our CI's images.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: fonts-dejavu-core: without any font, text has no size and nothing can be clicked.
_PACKAGES = ("chromium", "fonts-dejavu-core")
_APT = ("apt-get", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
_INSTALL_WITHIN = 900.0
_PROGRESS = 10.0
#: No sandbox: root has none, and the pages are our own. The rest: no call to anybody but the page's server.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class NoBrowser(Exception):
    """One line for a person: what is missing and what to do."""


def chromium(environ: Mapping[str, str] = os.environ, log: Path | None = None) -> str:
    """The path of a Chromium; CHROMIUM names one. Installs it when it can. Raises NoBrowser."""
    named = environ.get("CHROMIUM")
    if named:
        if not os.access(named, os.X_OK):
            raise NoBrowser(f"CHROMIUM={named} is no program: name a Chromium's, or unset it")
        return named
    found = find(environ)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get", path=environ.get("PATH")):
        install(environ, log or Path(os.devnull))
        found = find(environ)
    if found is None:
        raise NoBrowser(
            "the browser tests need Chromium: install it (on Debian: apt install chromium), or set CHROMIUM"
        )
    return found


def find(environ: Mapping[str, str]) -> str | None:
    return next(filter(None, (shutil.which(name, path=environ.get("PATH")) for name in _NAMES)), None)


def install(environ: Mapping[str, str], log: Path) -> None:
    """apt-get, without a question, its output in `log`. Raises NoBrowser."""
    _run("apt-get update", [*_APT, "update"], environ, log)
    _run("apt-get install", [*_APT, "install", "--no-install-recommends", *_PACKAGES], environ, log)


def _run(step: str, command: list[str], environ: Mapping[str, str], log: Path) -> None:
    """Says every ten seconds that it lives."""
    started = time.monotonic()
    with log.open("a") as output:
        process = subprocess.Popen(
            command,
            env={**environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while True:
            _say(f"install chromium: {step} {time.monotonic() - started:.0f} s")
            try:
                code = process.wait(_PROGRESS)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() - started > _INSTALL_WITHIN:
                    process.kill()
                    process.wait()
                    raise NoBrowser(f"apt-get took longer than {_INSTALL_WITHIN:g} s: see {log}") from None
    if code:
        raise NoBrowser(f"Chromium does not install ({step} ended with {code}): see {log}, or set CHROMIUM")


def _say(line: str) -> None:
    # pytest captures what a fixture prints; its own stream is for people.
    print(line, file=sys.__stdout__, flush=True)
