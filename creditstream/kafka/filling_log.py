"""What the log says of a table that is being filled."""

import logging
import time

log = logging.getLogger(__name__)
#: Seconds between two lines, and until people are told on the page.
TELL_EVERY = 10.0


class FillingLog:
    """For filling: that something is read, how far it is, what it took."""

    def __init__(self, name: str, missing: int) -> None:
        self._name, self._all, self._begun = name, missing, time.monotonic()
        self._told = self._begun

    def tell(self, missing: int) -> None:
        """Now and then."""
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            log.info("%s: %d records of its changelog to go, of %d", self._name, missing, self._all)

    def end(self, missing: int) -> None:
        """It is whole, or broken off."""
        if self._all:
            seconds = time.monotonic() - self._begun
            loaded = f"{self._all - missing} of {self._all}" if missing else str(self._all)
            log.info("%s: %s records loaded from its changelog in %.2f s", self._name, loaded, seconds)
