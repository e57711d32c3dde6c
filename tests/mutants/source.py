"""PURE: a source file by byte, since that is how its syntax tree counts columns."""

import ast
from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple


class Change(NamedTuple):
    """The bytes from `start` to `end` are replaced."""

    start: int
    end: int
    new: str


class Source:
    """The text of one file, its tree, and where its nodes stand. Raises SyntaxError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._bytes = text.encode()
        self._starts = [0, *accumulate(map(len, self._bytes.splitlines(keepends=True)))]

    def start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def between(self, start: int, end: int) -> str:
        return self._bytes[start:end].decode()

    def of(self, node: ast.expr | ast.stmt) -> str:
        return self.between(self.start(node), self.end(node))

    def line_of(self, offset: int) -> int:
        """From 1."""
        return bisect_right(self._starts, offset)

    def changed(self, change: Change) -> str:
        """The whole text, with that change."""
        return self.between(0, change.start) + change.new + self.between(change.end, len(self._bytes))

    def before_and_after(self, change: Change) -> tuple[str, str]:
        """The lines that it is about, as one line each."""
        first = self._starts[self.line_of(change.start) - 1]
        last = self._starts[self.line_of(max(change.start, change.end - 1))]
        before = self.between(first, last)
        after = self.between(first, change.start) + change.new + self.between(change.end, last)
        return " ".join(before.split()), " ".join(after.split())
