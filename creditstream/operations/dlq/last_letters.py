"""The dead-letter topic, in bounded memory: of the letters about a record the one of its row's last version counts."""

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

from rich.progress import Progress

from creditstream.kafka.topic_reader import Topics
from creditstream.operations.dead_letter import Letter, read_letter

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE last (identity BLOB PRIMARY KEY, part INTEGER, off INTEGER, version INTEGER) WITHOUT ROWID;
BEGIN;
"""
#: `version`: the highest of the record's row that a letter told. `forget` copies letters behind later ones.
_KEEP = """
INSERT INTO last VALUES (?, ?, ?, ?)
ON CONFLICT (identity) DO UPDATE SET
    part = excluded.part, off = excluded.off, version = max(version, excluded.version)
WHERE excluded.version = 0 OR excluded.version >= last.version
"""
_FIND = "SELECT part, off FROM last WHERE identity = ?"


class Books:
    """Two readings: the first finds each record's last letter, the second gives those."""

    def __init__(self, topics: Topics, name: str, progress: Progress) -> None:
        self._topics, self._name, self._progress = topics, name, progress
        self._last = sqlite3.connect("", isolation_level=None)  # a file that SQLite removes
        self._last.executescript(_SCHEMA)

    async def letters(self, doing: str) -> AsyncIterator[list[Letter]]:
        """By the batch; one letter for each record. Raises BrokerUnavailable."""
        try:
            async for batch in self._read("reading"):
                self._last.executemany(_KEEP, map(_entry, batch))
            async for batch in self._read(doing):
                yield [letter for letter in batch if self._is_last(letter)]
        finally:
            self._last.close()

    async def _read(self, doing: str) -> AsyncIterator[list[Letter]]:
        bar = self._progress.add_task(doing, total=self._topics.size(self._name))
        async for records in self._topics.read(self._name):
            yield [read_letter(record) for record in records]
            self._progress.advance(bar, len(records))

    def _is_last(self, letter: Letter) -> bool:
        found: Any = self._last.execute(_FIND, (letter.identity,)).fetchone()
        return bool(found == (letter.partition, letter.offset))


def _entry(letter: Letter) -> tuple[bytes, int, int, int]:
    return letter.identity, letter.partition, letter.offset, letter.row_version or 0
