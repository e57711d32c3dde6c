"""The longest tests are begun first, and what is not dear to share is spread one by one."""

from tests.support.order import FIRST, in_order, scope_of
from tests.support.servers import ROOT


def test_every_file_that_is_to_be_first_exists() -> None:
    assert [file for file in FIRST if not (ROOT / file).is_file()] == []


def test_long_ones_come_first_and_quick_ones_last() -> None:
    some = ["tests/unit/test_mix.py::a", "tests/browser/test_live.py::b", f"{FIRST[1]}::c", f"{FIRST[0]}::d[x::y]"]
    assert sorted(some, key=in_order) == list(reversed(some))


def test_a_file_stays_together_unless_its_tests_share_nothing_dear() -> None:
    assert scope_of("tests/browser/test_live.py::test_a[x::y]") == "tests/browser/test_live.py"
    assert scope_of("tests/chaos/test_cluster.py::test_a") == "tests/chaos/test_cluster.py::test_a"
