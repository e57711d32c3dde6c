"""`faust -A creditstream worker`: Faust's worker, which first waits for what it needs or says what is missing."""

import logging
import sys
from typing import Any, NoReturn, cast

import faust

from creditstream.errors import StartError
from creditstream.worker.preflight import check_machine


class Worker(faust.Worker):
    """Ends with exit code 2 and one line when it cannot start."""

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """No spinner: for it Faust sets the root logger to DEBUG, which costs a record for every message."""
        self.spinner = None

    def execute_from_commandline(self) -> NoReturn:
        app = cast(Any, self.app)
        try:
            self._data_dir_lock = check_machine(app.settings)
            self.loop.run_until_complete(app.runtime.check())
        except StartError as error:
            print(f"creditstream: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        super().execute_from_commandline()
