"""Contiguous acknowledgement and in-order admission: I3 and I8 for every order of events."""

import tracemalloc
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from creditstream.kafka.offsets import Admission, Progress
from creditstream.kafka.watchdog import Standing


def delivered(start: int, count: int) -> Progress:
    progress = Progress(start)
    for offset in range(start, start + count):
        assert progress.admit(offset) is Admission.DELIVER
    return progress


@given(st.integers(0, 100), st.permutations(range(30)))
def test_commits_only_the_finished_prefix_whatever_the_order(start: int, order: list[int]) -> None:
    progress = delivered(start, len(order))
    finished: set[int] = set()
    for index in order:
        progress.finish(start + index)
        finished.add(start + index)
        assert all(offset in finished for offset in range(start, progress.position))
        assert progress.position not in finished
    assert progress.position == progress.expected
    assert progress.unfinished == 0


def test_finishing_twice_or_what_was_never_delivered_changes_nothing() -> None:
    progress = delivered(5, 3)
    progress.finish(5)
    progress.finish(5)
    progress.finish(4)
    progress.finish(8)
    assert progress.position == 6
    assert progress.admit(8) is Admission.DELIVER
    progress.finish(6)
    progress.finish(7)
    assert progress.position == 8


def test_what_is_unfinished_is_counted_in_whatever_order_it_ends() -> None:
    progress = delivered(0, 3)
    counts = []
    for offset in (0, 2, 2, 1):
        progress.finish(offset)
        counts.append(progress.standing(9))
    assert counts == [Standing(1, 9, 3, 2), Standing(1, 9, 3, 1), Standing(1, 9, 3, 1), Standing(3, 9, 3, 0)]


def test_a_jump_is_read_again_before_it_counts_as_a_hole() -> None:
    progress = delivered(10, 2)
    assert progress.admit(20) is Admission.SEEK_BACK
    assert progress.admit(12) is Admission.DELIVER
    assert progress.admit(20) is Admission.SEEK_BACK
    assert progress.admit(15) is Admission.SEEK_BACK, "the second read showed more than the first: still in doubt"
    assert progress.admit(15) is Admission.DELIVER, "shown twice: the log has a hole"
    for offset in (10, 11, 12, 15):
        progress.finish(offset)
    assert progress.position == 16


@given(st.lists(st.integers(0, 40), max_size=200))
def test_delivers_no_offset_twice_and_never_backwards(offsets: list[int]) -> None:
    progress = Progress(0)
    seen = [offset for offset in offsets if progress.admit(offset) is Admission.DELIVER]
    assert seen == sorted(set(seen))


@given(st.sets(st.integers(0, 60)))
def test_without_the_log_having_holes_every_record_is_delivered(losses: set[int]) -> None:
    """A reader that throws away some fetched records: the seeks bring every one of them back."""
    log, progress, received = range(50), Progress(0), []
    position, thrown = 0, set(losses)
    while position < len(log):
        offset, position = position, position + 1
        if offset in thrown:
            thrown.discard(offset)
            continue
        match progress.admit(offset):
            case Admission.DELIVER:
                received.append(offset)
            case Admission.SEEK_BACK:
                position = progress.expected
    missing = set(log) - set(received)
    assert not missing or min(missing) > max(received, default=-1), "only the tail may still be on its way"


def test_what_is_finished_behind_one_that_waits_is_compact_and_is_let_go() -> None:
    """I9: an order that waits an hour on `orders-retry` holds back the prefix, not memory."""
    progress, count = Progress(7), 50_000
    for offset in range(7, 7 + count):
        progress.admit(offset)
    tracemalloc.start()
    for offset in range(8, 7 + count):
        progress.finish(offset)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 50_000, "a byte an offset at most; a set has 65"
    assert (progress.position, progress.standing(0).unfinished) == (7, 1)
    progress.finish(7)
    assert (progress.position, progress.unfinished, progress.standing(0).unfinished) == (7 + count, 0, 0)
    assert len(progress._finished._chunks) <= 1


@given(st.integers(0, 5_000), st.lists(st.integers(1, 3_000), min_size=1, max_size=8), st.randoms())
def test_what_is_finished_is_forgotten_with_the_prefix_holes_or_not(start: int, steps: list[int], dice: Random) -> None:
    progress, offsets = Progress(start), [start]
    for step in steps:
        offsets.append(offsets[-1] + step)
        progress.pass_over(progress.expected, offsets[-1] - 1)
        assert progress.admit(offsets[-1] - 1) is Admission.DELIVER
    delivered = [offset - 1 for offset in offsets[1:]]
    dice.shuffle(delivered)
    left = set(delivered)
    for offset in delivered:
        assert progress.standing(0).unfinished == len(left)
        progress.finish(offset)
        left.discard(offset)
        before_the_gap = [each for each in delivered if each < min(left, default=progress.expected)]
        assert max(before_the_gap, default=start - 1) < progress.position <= min(left, default=progress.expected)
    assert progress.position == progress.expected
    assert len(progress._finished._chunks) <= 1
