"""The mutants themselves: what is changed, which a seed takes, and that a test finds one that it should find."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from creditstream.kafka.offsets import Progress
from tests.mutants import forked
from tests.mutants.equivalent import LIST, reasons
from tests.mutants.forked import FAILED, FINE, Tell, in_child, within
from tests.mutants.hits import Tracer
from tests.mutants.log import Log
from tests.mutants.places import Mutant, compiles, defaults_of, mutants
from tests.mutants.report import Found, report
from tests.mutants.run import ROOT, Plan, tried
from tests.mutants.sample import ROOMS, Room, sample
from tests.mutants.selection import Record
from tests.mutants.source import Source
from tests.mutants.trial import Verdict


def made(text: str) -> list[Mutant]:
    source = Source(text)
    return mutants("toy.py", source, set(defaults_of(source.tree)))


def mutated(text: str) -> set[str]:
    """The whole text after each change."""
    return {Source(text).changed(each.change) for each in made(text)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = (a) >= (b)", {"x = (a) > (b)", "x = (a) < (b)"}),
        ("x = a < b != c", {"x = a <= b != c", "x = a >= b != c", "x = a < b == c"}),
        ("x = a is  not b", {"x = a is b"}),
        ("x = a not in b", {"x = a in b"}),
        ("x = a and b", {"x = a or b", "x = True and b", "x = a and True"}),
        ("x = a or b", {"x = a and b", "x = False or b", "x = a or False"}),
        ("x = not a", {"x =  a"}),
        ("x = é + b", {"x = é - b"}),
        ("x = 'é' + b", set()),
        ("x = a // b", {"x = a * b"}),
        ("x -= y", {"x += y"}),
        ("x = 7", {"x = 8", "x = 6"}),
        ("x = 0.5", {"x = 1.5"}),
        ("x = True", {"x = False"}),
        ("x = max(a)", {"x = min(a)"}),
        ("x = a if b else c", {"x = a if not (b) else c", "x = a if True else c", "x = a if False else c"}),
        ("if a < b: pass", {f"if {test}: pass" for test in ("a <= b", "a >= b", "True", "False")}),
        ("if a := b: pass", {"if not (a := b): pass"}),
        ("x = [a for a in b if a]", {f"x = [a for a in b if {test}]" for test in ("not (a)", "True", "False")}),
        ("def f(): return x", {"def f(): return None"}),
        ("def f(): return", {"def f(): pass"}),
        ("while x: break", {"while x: continue", *(f"while {test}: break" for test in ("not (x)", "True", "False"))}),
        ("def f(): raise x from y", {"def f(): pass"}),
        ("f(x)", {"pass"}),
        ("async def f(): await x", {"async def f(): pass"}),
        ("a.b = c", {"pass"}),
        ("a[b] += c", {"pass", "a[b] -= c"}),
        ("del a[b]", {"pass"}),
        ("a = b", set()),
    ],
)
def test_each_operator(before: str, after: set[str]) -> None:
    assert mutated(before) == after


def test_a_keyword_that_has_a_default_is_left_out() -> None:
    text = "def f(a, b=c, *, d=e): pass\nx = f(a, b=b, d=d)\ny = f(d=d, a=a)\nz = g(d=d)\n"
    lines = {each.after for each in made(text)}
    assert lines == {"x = f(a, d=d)", "x = f(a, b=b)", "y = f(a=a)"}


@pytest.mark.parametrize(
    "text",
    [
        '"""1 < 2"""',
        "assert a < b",
        "log.warning('%s', a + b)",
        "_log.info(a)",
        "x = f'{a + 1}'",
        "if TYPE_CHECKING:\n    a.b = c",
        "def __repr__(self):\n    return a + b",
        "x: Literal[1]",
        "def f(a: Literal[1]) -> Literal[2]: pass",
        "@f(slots=True)\nclass A: pass",
        "import a",
    ],
)
def test_what_is_not_changed(text: str) -> None:
    assert made(text) == []


def test_a_mutant_says_where_it_is() -> None:
    text = "class A:\n x = 1\n @f\n def b(self):\n  def c():\n   return (\n    d\n   )\n"
    constant, _, returned = made(text)
    assert (constant.where, constant.outer, constant.line) == ("A", None, 2)
    assert (returned.where, returned.outer, returned.lines) == ("A.b.c", ("A.b", 3), (6, 8))
    assert (returned.before, returned.after) == ("return ( d )", "return None")


def test_of_a_statement_with_others_in_it_only_the_head_counts() -> None:
    text = "if a:\n    pass\nelif (\n    b\n    and c\n):\n    f(\n        x\n    )\n"
    assert {each.lines for each in made(text)} == {(1, 1), (3, 4), (3, 5), (7, 9)}


def test_what_is_sampled_compiles_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "mutants", tmp_path / "toy")
    room = Room("toy", ("toy/operators.py", "toy/source.py"))
    some = sample(tmp_path, [room], 1, 50)
    assert len(some) == 50
    assert all(compiles(each.text) for each in some)
    assert [each.mutant.id for each in some] == [each.mutant.id for each in sample(tmp_path, [room], 1, 50)]
    assert [each.mutant.id for each in some] != [each.mutant.id for each in sample(tmp_path, [room], 2, 50)]


def test_every_room_has_files() -> None:
    assert [pattern for room in ROOMS for pattern in room.files if not list(ROOT.glob(pattern))] == []


def test_the_tests_are_those_that_run_the_line_the_quickest_first() -> None:
    first, second = (each for each in made("def f():\n    return x\n\n\ndef g():\n    return x\n"))
    hits = {"slow": {"toy.py": [2]}, "quick": {"toy.py": [2]}, "other": {"toy.py": [6]}}
    seconds = {"slow": 2.0, "quick": 1.0, "other": 0.1}
    record = Record({}, seconds, hits, {}, {"1": {"toy.py": [2]}, "2": {"toy.py": [6]}})
    assert list(record.tests_for(first)) == ["quick", "slow"]
    assert list(record.tests_for(second)) == ["other"]
    assert (record.seeds_for(first), record.seeds_for(second)) == (["1"], ["2"])


def test_of_what_runs_at_import_they_are_those_of_its_importers() -> None:
    [mutant, _] = made("X = 1")
    hits = {
        "own": {"toy.py": [9]},
        "near": {"near.py": [1]},
        "tests/far.py::far": {"far.py": [1]},
        "not": {"far.py": [1]},
    }
    texts = {"near.py": "from toy import X", "tests/far.py": "    import toy", "far.py": "import toyota"}
    record = Record({"toy.py": [1]}, dict.fromkeys(hits, 1.0), hits, texts, {"1": {}})
    assert set(record.tests_for(mutant)) == {"own", "near", "tests/far.py::far"}
    assert record.seeds_for(mutant) == ["1"]


def test_a_test_that_ends_the_tracing_ends_it_for_no_other() -> None:
    """Python does so too when a trace function raises, as at the end of the stack."""
    tracer = Tracer(f"{ROOT}{os.sep}")
    tracer.begin()
    sys.settrace(None)
    tracer.begin()
    Progress(1).finish(1)
    tracer.stop()
    assert "creditstream/kafka/offsets.py" in tracer.plain()


def test_equivalent_ones_are_known_by_their_text_and_printed_with_their_reason() -> None:
    other, one = made("def f():\n    return x < y\n")[:2]
    known = reasons("# why\n\ntoy.py f\n- return x < y\n+ return x <= y\nThey are\nnever equal.\n")
    assert known == {one.name: "They are never equal."}
    lines = list(report([Found("toy", one, "alive", ""), Found("toy", other, "unit", "t")], known))
    assert lines[1].split() == ["toy", "2", "1", "0", "0", "1", "0", "100.0%"]
    assert lines[-1].strip() == "equivalent: They are never equal."
    with pytest.raises(ValueError, match="no entry"):
        reasons("toy.py f\n- return x < y\n")


def test_the_list_of_equivalent_ones_names_files_that_are_there() -> None:
    names = reasons(LIST.read_text(encoding="utf-8"))
    assert [where for where, _, _ in names if not (ROOT / where.split()[0]).exists()] == []


def test_a_log_keeps_the_killed_and_in_the_same_tree_the_living(tmp_path: Path) -> None:
    dead, living = made("x = a < b")
    log = Log(tmp_path / "log", "tree")
    assert log.of(dead) is None
    log.add(dead, Verdict("unit", "test\tone", 0.5))
    log.add(living, Verdict("alive", "", 1.0))
    again, elsewhere = Log(tmp_path / "log", "tree"), Log(tmp_path / "log", "other")
    assert again.of(dead) == elsewhere.of(dead) == Verdict("unit", "test one", 0.5)
    assert again.of(living) == Verdict("alive", "", 1.0)
    assert elsewhere.of(living) is None


TOY = """
MOST = 3


def clipped(x):
    if x > MOST:
        return MOST
    return x


def told(said):
    for each in said:
        if not each:
            break
"""
TOY_TEST = """
from toy.clip import clipped, told


def test_clipped():
    assert [clipped(each) for each in (1, 3, 9)] == [1, 3, 3]


def test_told():
    told([1])
"""


def test_a_toy_whose_mutants_are_killed_but_where_nothing_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half a second of imports in each process
    root = tmp_path / "root"
    shutil.copytree(ROOT / "tests" / "mutants", root / "tests" / "mutants")
    (root / "toy").mkdir()
    (root / "toy" / "clip.py").write_text(TOY)
    (root / "tests" / "unit").mkdir()
    (root / "tests" / "unit" / "test_toy.py").write_text(TOY_TEST)
    plan = Plan(root, [Room("toy", ("toy/*.py",))], ("tests/unit",), 0, tmp_path / "cache")
    found = {(each.mutant.where, each.mutant.after): each for each in tried(plan, 1, 100, None)}
    living = {after for (_, after), each in found.items() if each.how == "alive"}
    assert living == {"if x >= MOST:", "if each:", "if True:", "if False:", "continue"}
    assert found["", "MOST = 4"].how == "unit"
    assert (root / "toy" / "clip.py").read_text() == TOY


def test_a_child_that_goes_on_for_ever_is_ended() -> None:
    def work(tell: Tell) -> int:
        tell("begun")
        within(0.1, 60.0)
        while True:
            pass

    end = in_child(work)
    assert (end.code, end.told) == (-signal.SIGXCPU, "begun")


def test_a_child_that_waits_for_ever_is_ended() -> None:
    def work(tell: Tell) -> int:
        within(60.0, 0.1)
        while True:
            signal.pause()

    assert in_child(work).code == -signal.SIGALRM


def test_time_that_the_machine_gives_to_others_is_not_the_childs(monkeypatch: pytest.MonkeyPatch) -> None:
    starved = iter([0.0, 0.1, 0.1])
    monkeypatch.setattr(forked, "_starved", lambda: next(starved))

    def work(tell: Tell) -> int:
        within(60.0, 0.01)
        signal.pause()
        tell("once more")
        signal.pause()
        return FINE

    end = in_child(work)
    assert (end.code, end.told) == (-signal.SIGALRM, "once more")


def test_a_child_tells_what_it_has_found() -> None:
    def work(tell: Tell) -> int:
        tell("here")
        raise SystemExit(0)

    end = in_child(work)
    assert (end.code, end.told) == (FAILED, "here")
