"""Files of partitions that moved to another worker: they may come back, and are removed when they do not."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)
#: Seconds. A roll of all workers is over by then, and each has back what it had.
_KEPT = 900.0


class Files(Protocol):
    """`creditstream.kafka.table_files.TableFiles`."""

    def on_disk(self) -> Mapping[int, Path]:
        """The folders of all partitions that were ever opened on this disk."""
        ...


class LeftFiles:
    """For filling."""

    def __init__(self, files: Files, clock: Callable[[], float] = time.monotonic) -> None:
        self._files, self._clock = files, clock
        #: Since when a partition has been another's.
        self._left: dict[int, float] = {}

    def look(self, mine: frozenset[int]) -> None:
        """`mine`: partitions that are this worker's; the others are closed. What cannot be removed is tried later."""
        now, there = self._clock(), self._files.on_disk()
        self._left = {each: self._left.get(each, now) for each in there.keys() - mine}
        for partition, since in self._left.items():
            if now - since >= _KEPT:
                self._left[partition] = now
                self._remove(there[partition])

    def _remove(self, folder: Path) -> None:
        try:
            (folder / "CURRENT").unlink(missing_ok=True)  # without it what a crash leaves here is no database
            shutil.rmtree(folder)
        except OSError as error:
            log.warning("%s: not removed, trying again in %.0f s: %s", folder, _KEPT, error)
        else:
            log.info("%s: removed, the partition is another worker's", folder.name)
