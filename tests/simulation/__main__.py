"""`make simulate`: see tests/simulation/run.py."""

import os
import sys

# The order in which sets of texts are gone through is not ours: Faust and aiokafka go through many.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(  # noqa: S606 - this program, once more
        sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
    )

import tests.simulation.clocks  # noqa: F401 - first: it replaces time's functions
from tests.simulation.run import main

raise SystemExit(main())
