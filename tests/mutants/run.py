"""The command: a seed in; which of its mutants are killed, and by what."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.equivalent import LIST, reasons
from tests.mutants.log import Log
from tests.mutants.report import Found, report
from tests.mutants.sample import ROOMS, Room, Taken, sample
from tests.mutants.selection import Record
from tests.mutants.tree import Tree
from tests.mutants.trial import ENVIRON, Trials

ROOT = Path(__file__).resolve().parents[2]
#: Of the simulation, for a mutant that no test has found: about a second of CPU each.
_SEEDS = 20


@dataclass(frozen=True)
class Plan:
    """What is mutated, and what may find it. `cache`: where records of the tests are kept."""

    root: Path
    rooms: Sequence[Room]
    tests: tuple[str, ...]
    seeds: int
    cache: Path


CORE = Plan(ROOT, ROOMS, ("tests/unit", "tests/contracts"), _SEEDS, ROOT / ".local" / "cache" / "mutants")


def main() -> int:
    given = _arguments()
    found = list(tried(CORE, given.seed, given.count, given.log))
    for line in report(found, reasons(LIST.read_text(encoding="utf-8"))):
        print(line)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which mutants (default: %(default)s)")
    parser.add_argument("--count", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--log", type=Path, help="a line for each mutant; a run with the same file goes on from there")
    return parser.parse_args()


def tried(plan: Plan, seed: int, count: int, path: Path | None) -> Iterator[Found]:
    """Each as it is found out, with a line of progress."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Tree(plan.root, Path(folder) / "tree")
        taken, log = sample(tree.path, plan.rooms, seed, count), Log(path, tree.digest)
        with closing(Trials(tree, recorded(plan, tree), plan.tests)) as trials:
            for number, each in enumerate(taken, 1):
                yield _tried(each, f"{number}/{len(taken)}", trials, log)


def _tried(taken: Taken, number: str, trials: Trials, log: Log) -> Found:
    mutant = taken.mutant
    verdict = log.of(mutant)
    if verdict is None:
        verdict = trials.verdict(taken)
        log.add(mutant, verdict)
        print(f"{number} {mutant.file}:{mutant.line} {verdict.cpu:.1f} s {verdict.how} {verdict.by}", flush=True)
    return Found(taken.room, mutant, verdict.how, verdict.by)


def recorded(plan: Plan, tree: Tree) -> Record:
    """Once for each tree: tests and seeds run with every line of the product noted."""
    kept = plan.cache / f"{tree.digest}.json"
    if not kept.exists():
        print("mutants: which test runs which lines? (once for each tree)", file=sys.stderr, flush=True)
        found = _written(tree, "tests.mutants.record", *plan.tests)
        found["seeds"] = _written(tree, "tests.mutants.simulated", str(plan.seeds)) if plan.seeds else {}
        plan.cache.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
        kept.with_suffix(".new").replace(kept)
    texts = {path.relative_to(tree.path).as_posix(): path.read_text("utf-8") for path in tree.path.rglob("*.py")}
    return Record(**json.loads(kept.read_text(encoding="utf-8")), texts=texts)


def _written(tree: Tree, program: str, *more: str) -> dict[str, Any]:
    """What the program writes."""
    to = tree.path / "record.json"
    to.unlink(missing_ok=True)
    command = [sys.executable, "-m", program, str(to), *more]
    done = subprocess.run(command, cwd=tree.path, env=ENVIRON, capture_output=True, text=True, check=False)
    if not to.exists():
        raise RuntimeError(f"{program} has found nothing:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    written: dict[str, Any] = json.loads(to.read_text(encoding="utf-8"))
    return written
