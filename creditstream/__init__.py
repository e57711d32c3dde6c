"""creditstream: credit orders in, exactly one decision each out. `faust -A creditstream worker` starts it.

`from creditstream import app` is the Faust app of this process: made from its environment when it is first asked for,
not at import. Agents and commands attach to it.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from creditstream.worker.app import CreditApp

    app: CreditApp

#: Where the four packages stand. In a checkout that is not installed, `faust` has it on the path for a moment only.
_ROOT = str(Path(__file__).resolve().parent.parent)


def __getattr__(name: str) -> Any:
    """Called for `app` once. A setting that is wrong ends the process with one line and exit code 2."""
    if name != "app":
        raise AttributeError(f"module 'creditstream' has no attribute {name!r}")
    if _ROOT not in sys.path:
        sys.path.append(_ROOT)
    globals()["app"] = _app_or_exit()
    return globals()["app"]


def _app_or_exit() -> "CreditApp":
    """Here, as Faust may be told to load any module that has the app: `-A creditstream`, `-A agents.orders`, …"""
    from creditstream.config.environment import open_closed_streams
    from creditstream.errors import StartError

    open_closed_streams()
    try:
        return _make_app()
    except StartError as error:
        print(f"creditstream: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _make_app() -> "CreditApp":
    import logging.config
    import os

    from creditstream.config.environment import set_aside, told

    without_effect = set_aside(os.environ)
    # Not before: Faust keeps some of the variables when it is imported.
    from faust.cli.faust import cli

    from creditstream.config.load import load_settings
    from creditstream.worker.app import create_app
    from creditstream.worker.command_line import take_over
    from creditstream.worker.logs import logging_config

    settings = load_settings()

    def before_command() -> None:
        logging.config.dictConfig(logging_config(settings))
        if without_effect:
            logging.getLogger(__name__).warning("%s", told(without_effect))

    take_over(cli, before_command)
    return create_app(settings)
