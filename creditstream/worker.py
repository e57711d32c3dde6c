"""`faust -A creditstream worker`: Faust's worker, which first waits for what it needs or says what is missing."""

import sys
from typing import Any, NoReturn, cast

import faust

from creditstream.errors import StartError
from creditstream.runtime import check_services


class Worker(faust.Worker):
    """Ends with exit code 2 and one line when Kafka or PostgreSQL is not to be had."""

    def execute_from_commandline(self) -> NoReturn:
        app = cast(Any, self.app)
        try:
            app.runtime.partitions = self.loop.run_until_complete(check_services(app.settings))
        except StartError as error:
            print(f"creditstream: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        super().execute_from_commandline()
