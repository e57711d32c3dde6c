"""The schedule is the seed's: the same again, every kind before any comes twice, one server fault at a time."""

from creditstream.config.settings import Settings
from tests.chaos.faults import FAULTS
from tests.chaos.schedule import KINDS, ROLL, Planned, make_schedule


def lane(planned: list[Planned], name: str) -> list[Planned]:
    return [each for each in planned if each.kind.lane == name]


def test_a_seed_plans_the_same_faults_again_and_another_seed_others() -> None:
    first, again = (make_schedule(7, 600, list(KINDS), short=False) for _ in range(2))
    assert first == again
    assert first != make_schedule(8, 600, list(KINDS), short=False)
    assert len(first) > 25


def test_faults_of_one_lane_do_not_overlap_and_end_in_time() -> None:
    planned = make_schedule(3, 900, list(KINDS), short=False)
    for name in ("workers", "servers"):
        faults = lane(planned, name)
        ends = [each.at + each.hold + each.kind.cost for each in faults]
        assert all(end < after.at for end, after in zip(ends, faults[1:], strict=False))
        assert ends[-1] <= 900


def test_every_kind_comes_before_any_comes_again() -> None:
    faults = [each.kind.name for each in lane(make_schedule(5, 3_600, list(KINDS), short=True), "servers")]
    kinds = {name for name, kind in KINDS.items() if kind.lane == "servers"}
    assert set(faults[: len(kinds)]) == kinds
    assert set(faults[len(kinds) : 2 * len(kinds)]) == kinds


def test_only_the_chosen_kinds_and_each_is_known_to_the_runner() -> None:
    planned = make_schedule(1, 300, ["kill", "redis_kill"], short=True)
    assert {each.kind.name for each in planned} == {"kill", "redis_kill"}
    assert FAULTS.keys() == {*KINDS, ROLL.name}


def test_growth_comes_once_and_the_others_again_and_other_lanes_do_not_change_with_it() -> None:
    names = ["kill", "broker_kill", "grow", "retention"]
    planned = make_schedule(2, 600, names, short=True)
    operators = [each.kind.name for each in lane(planned, "operators")]
    assert operators.count("grow") == 1 and operators.count("retention") > 5
    assert lane(planned, "workers") == make_schedule(2, 600, ["kill"], short=True)


def test_a_freeze_outlasts_the_session() -> None:

    assert min(KINDS["freeze"].hold) >= 2 * Settings().session_timeout


def test_with_two_versions_every_second_fault_of_the_workers_is_a_roll() -> None:
    planned = lane(make_schedule(7, 900, list(KINDS), short=False, rolls=True), "workers")
    assert {each.kind for each in planned[::2]} == {ROLL}
    assert ROLL not in {each.kind for each in planned[1::2]}
    alone = make_schedule(7, 100, [], short=True, rolls=True)
    assert len(alone) > 4 and {each.kind for each in alone} == {ROLL}
