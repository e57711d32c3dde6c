"""PURE: what is judged by itself: records that are no orders, and records that nobody ever read."""

from collections.abc import Mapping

from creditstream.operations.audit.buckets import Judged
from creditstream.operations.audit.judge import Evidence, Fault
from creditstream.operations.audit.ledger import Books


def judge_invalid(books: Books, evidence: Evidence) -> Judged:
    """Each record that is no order has a dead letter, or is not passed yet. With it go the faults of all books."""
    found = Judged(faults=list(books.faults))
    for partition, offset, reason in books.invalid:
        found.counts["records"] += 1
        if evidence.letters.word(partition, offset) is not None:
            continue
        if evidence.is_passed(partition, offset):
            where = f"orders[{partition}]@{offset}"
            found.faults.append(Fault("lost", f"not an order ({reason}) and no dead letter", where))
        else:
            found.counts["on_the_way"] += 1
    return found


def never_read(
    starts: Mapping[tuple[str, int], int],
    passed: Mapping[tuple[str, int], int],
    jumps: Mapping[tuple[str, int, int], int],
) -> list[Fault]:
    """Records that Kafka removed before the group had read them.

    By two kinds of evidence: the log begins behind what the group has passed (`starts` are from before `passed`), and
    what a worker wrote down when it went on behind such a gap. Where the group has no offset it is new, or was away for
    so long that Kafka has forgotten it: nothing tells what it had read.
    """
    gaps = dict(jumps)
    for where, start in starts.items():
        if where in passed and passed[where] < start:
            gaps[*where, passed[where]] = start
    return [_gap(*place, until) for place, until in sorted(gaps.items())]


def _gap(topic: str, partition: int, offset: int, until: int) -> Fault:
    count = max(1, until - offset)
    what = f"{count} records, up to offset {until - 1}, were removed by Kafka before they were read"
    return Fault("lost", what, f"{topic}[{partition}]@{offset}", count)
