"""PURE: which tests may find a mutant. From a record of the lines that each of them runs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.mutants.places import Mutant

#: By file, the lines that ran.
Lines = dict[str, list[int]]
#: CPU seconds of the tests that are tried with one mutant, as they were when they were recorded.
_MOST = 120.0


@dataclass(frozen=True)
class Record:
    """`seconds`, `hits`: of each test that passes without a mutant; `seeds`: what those of the simulation run.

    `texts`: of the tree's Python files.
    """

    at_import: Lines
    seconds: dict[str, float]
    hits: dict[str, Lines]
    texts: dict[str, str]
    seeds: dict[str, Lines]

    def is_imported(self, mutant: Mutant) -> bool:
        """Whether its lines run when modules are imported: a process that has done that does not notice it."""
        return mutant.outer is None or _meet(mutant, self.at_import)

    def tests_for(self, mutant: Mutant) -> dict[str, float]:
        """The quickest first. Of what runs at import: the tests of its file, and of those that import that."""
        if self.is_imported(mutant):
            near = self._importers[mutant.file]
            found = {test for test, lines in self.hits.items() if near & lines.keys() or _file(test) in near}
        else:
            found = {test for test, lines in self.hits.items() if _meet(mutant, lines)}
        return dict(self._affordable(found))

    def seeds_for(self, mutant: Mutant) -> list[str]:
        """Until a seed comes to the line it is what it was; so the others need not be played."""
        imported = self.is_imported(mutant)
        return [seed for seed, lines in self.seeds.items() if imported or _meet(mutant, lines)]

    def _affordable(self, tests: set[str]) -> Iterator[tuple[str, float]]:
        left = _MOST
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            left -= self.seconds[test]
            if left < 0:
                return
            yield test, self.seconds[test]

    @cached_property
    def _importers(self) -> "_Importers":
        return _Importers(self.texts)


class _Importers(dict[str, set[str]]):
    """By file: itself, and the files that import it."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, file: str) -> set[str]:
        name = re.escape(file.removesuffix(".py").replace("/", "."))
        imports = re.compile(rf"^\s*(from|import) {name}\b", re.MULTILINE)
        self[file] = {file} | {other for other, text in self._texts.items() if imports.search(text)}
        return self[file]


def _file(test: str) -> str:
    return test.partition("::")[0]


def _meet(mutant: Mutant, lines: Lines) -> bool:
    first, last = mutant.lines
    return any(first <= line <= last for line in lines.get(mutant.file, ()))
