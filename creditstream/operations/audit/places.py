"""PURE: places on a topic, and a word about each, in some ten bytes a place: a million dead letters are 11 MB."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator

_OFFSET_BITS = 48
_MOST_PARTITIONS = 1 << 16


class Places:
    """Partition and offset, each with a word. Of a place that is entered twice the first word counts."""

    def __init__(self) -> None:
        self._keys, self._words = array("Q"), array("H")
        self._names: list[str] = []
        self._codes: dict[str, int] = {}
        self._is_sorted = True

    def __len__(self) -> int:
        self._sort()
        return len(self._keys)

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        """Partition, offset and word, sorted."""
        self._sort()
        for key, code in zip(self._keys, self._words, strict=True):
            yield key >> _OFFSET_BITS, key & (1 << _OFFSET_BITS) - 1, self._names[code]

    def add(self, partition: int, offset: int, word: str = "") -> bool:
        """False: no topic of ours has such a place, and it is not kept."""
        if not (0 <= partition < _MOST_PARTITIONS and 0 <= offset < 1 << _OFFSET_BITS):
            return False
        code = self._codes.setdefault(word, len(self._codes))
        if code == len(self._names):
            self._names.append(word)
        self._is_sorted = False
        self._keys.append(partition << _OFFSET_BITS | offset)
        self._words.append(min(code, 65_535))
        return True

    def word(self, partition: int, offset: int) -> str | None:
        """None: the place was not entered."""
        if not self._is_sorted:
            self._sort()
        key = partition << _OFFSET_BITS | offset
        at = bisect_left(self._keys, key)
        return self._names[self._words[at]] if at < len(self._keys) and self._keys[at] == key else None

    def counts(self) -> dict[str, int]:
        """How many places there are, by their word."""
        self._sort()
        found = dict.fromkeys(self._names, 0)
        for code in self._words:
            found[self._names[code]] += 1
        return found

    def _sort(self) -> None:
        """Stable, so that the first of equal places is the one that is kept."""
        if self._is_sorted:
            return
        keys, words = array("Q"), array("H")
        last = -1
        for at in sorted(range(len(self._keys)), key=self._keys.__getitem__):
            if self._keys[at] != last:
                last = self._keys[at]
                keys.append(last)
                words.append(self._words[at])
        self._keys, self._words, self._is_sorted = keys, words, True
