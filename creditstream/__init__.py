"""creditstream: credit orders in, exactly one decision each out. `faust -A creditstream worker` starts it."""

import importlib
import sys
from pathlib import Path
from typing import Any

#: Where the four packages stand. In a checkout that is not installed, `faust` has it on the path for a moment only.
_ROOT = str(Path(__file__).resolve().parent.parent)


def __getattr__(name: str) -> Any:
    """`creditstream.app` is the Faust app, made from the environment when it is first asked for, not at import."""
    if name != "app":
        raise AttributeError(f"module 'creditstream' has no attribute {name!r}")
    if _ROOT not in sys.path:
        sys.path.append(_ROOT)
    app = importlib.import_module("creditstream.main").app
    globals()["app"] = app
    return app
