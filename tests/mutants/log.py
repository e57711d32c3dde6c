"""What was found out before: a line for each mutant, so that a run that was stopped can go on."""

from pathlib import Path

from tests.mutants.places import Mutant
from tests.mutants.report import ALIVE
from tests.mutants.trial import Verdict


class Log:
    """Of a file; None: nothing is kept. Who was killed stays so; who lived is tried again in another tree."""

    def __init__(self, path: Path | None, tree: str) -> None:
        self._path, self._tree = path, tree
        text = path.read_text(encoding="utf-8") if path and path.exists() else ""
        lines = [line.split("\t") for line in text.splitlines()]
        self._known = {
            mutant: Verdict(how, by, float(cpu))
            for mutant, made_in, how, by, cpu, *_ in lines
            if how != ALIVE or made_in == tree
        }

    def of(self, mutant: Mutant) -> Verdict | None:
        return self._known.get(mutant.id)

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        if self._path:
            where = f"{mutant.file}:{mutant.line}"
            words = [mutant.id, self._tree, verdict.how, " ".join(verdict.by.split()), f"{verdict.cpu:.2f}", where]
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\t".join(words) + "\n")
