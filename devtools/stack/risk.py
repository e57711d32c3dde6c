"""The simulated risk API, as a process of its own."""

import os
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from devtools.stack.errors import StackError
from devtools.stack.ports import HOST
from devtools.stack.service import Report, Service

_MODULE = "creditstream.simulation.risk_api"
#: The checkout (or site-packages) that this file is part of: the process works in its own folder and must find it.
_PACKAGES = Path(__file__).resolve().parents[2]


class RiskApi(Service):
    """`python -m creditstream.simulation.risk_api --port N`."""

    name = "risk"
    title = "Risk API"
    port_field = "risk"
    ready_within = 15.0
    stop_within = 10.0

    def prepare(self, report: Report) -> None:
        if find_spec(_MODULE) is None:
            raise StackError(f"Risk API: there is no module {_MODULE}: is the checkout complete?")

    def command(self) -> list[str]:
        return [sys.executable, "-m", _MODULE, "--port", str(self.port)]

    def environ(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "PYTHONPATH": path}

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False
