"""N and N-1 side by side, on each other's disks, forward and back: every order decided once."""

from pathlib import Path

from creditstream.simulation.mix import make_mix
from devtools.programs import Worker
from devtools.wait import wait_for
from tests.chaos.group import Group, is_at_work
from tests.chaos.previous import PREVIOUS, check_out
from tests.chaos.rolling import Roll, Rolling
from tests.support.cloned import Template
from tests.support.product import audited
from tests.support.servers import LOCAL, Servers

_WITHIN = 90.0
_ORDERS = 300


def at_work(*workers: Worker) -> None:
    for worker in workers:
        worker.wait_until_ready(_WITHIN)
    wait_for(lambda: all(map(is_at_work, workers)), _WITHIN, "both have partitions")


def test_an_upgrade_and_a_rollback_beside_the_other_version(stack: Servers, template: Template, tmp_path: Path) -> None:
    previous = check_out(PREVIOUS, LOCAL / "versions")
    lines = make_mix(_ORDERS, 30, 9, 9, seed=11)
    with Group.opened(stack, template, tmp_path) as group:
        first, second = group.worker_of(previous, "first"), group.worker("second")
        for turn in range(3):
            at_work(first, second)
            group.topics.produce("orders", [(None, line.value) for line in lines[turn::3]])
            if turn == 0:
                assert first.stop() == 0
                first = group.worker("first")
            elif turn == 1:
                assert second.stop() == 0
                second = group.worker_of(previous, "second")
        group.settle(len(lines))
        report = audited(group.environ)
        assert (report["orders"], report["under_review"]) == (_ORDERS, 0), report
        assert [worker.exit_code for worker in (first, second)] == [None, None]
        assert group.risk.journal()["keys"] <= _ORDERS + 9, (
            "a conflict may be asked about, nothing else beside the orders"
        )


def test_workers_go_forward_one_by_one_then_back() -> None:
    rolling = Rolling([1, 2, 3])
    rolls = [rolling.next([1, 2, 3]) for _ in range(7)]
    assert [roll.number for roll in rolls] == [1, 2, 3, 3, 2, 1, 1]
    assert [roll.way for roll in rolls] == ["upgrade"] * 3 + ["rollback"] * 3 + ["upgrade"]
    assert [roll.first for roll in rolls] == [True, False, False, True, False, False, True]


def test_a_worker_that_is_away_keeps_its_version() -> None:
    rolling = Rolling([1, 2])
    assert rolling.next([2]) == Roll(2, "upgrade", first=True)
    assert rolling.next([2]) == Roll(2, "rollback", first=True)
    assert rolling.old == {1, 2}
