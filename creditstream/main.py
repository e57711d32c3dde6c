"""The one app of this process, made from its environment; agents, tables, views and commands attach to it."""

import logging.config
import os
import sys
from typing import TYPE_CHECKING

from creditstream.config.environment import open_closed_streams, set_aside, told
from creditstream.config.load import load_settings
from creditstream.errors import StartError
from creditstream.worker.logs import logging_config

if TYPE_CHECKING:
    from creditstream.worker.app import CreditApp

log = logging.getLogger(__name__)


def _app_or_exit() -> "CreditApp":
    """Here, as Faust may be told to load any of our modules: `-A creditstream`, `-A creditstream.main`, …"""
    open_closed_streams()
    try:
        return _make_app()
    except StartError as error:
        print(f"creditstream: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _make_app() -> "CreditApp":
    without_effect = set_aside(os.environ)
    # Not before: Faust keeps some of the variables when it is imported.
    from faust.cli.faust import cli

    from creditstream.worker.app import create_app
    from creditstream.worker.command_line import take_over

    settings = load_settings()

    def before_command() -> None:
        logging.config.dictConfig(logging_config(settings))
        if without_effect:
            log.warning("%s", told(without_effect))

    take_over(cli, before_command)
    return create_app(settings)


app = _app_or_exit()
