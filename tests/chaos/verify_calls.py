"""PURE: I6, from the risk API's own journal: who was asked about again, and which orders could be."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from tests.chaos.evidence import Allowed, Books, Call, Verdict, Window

#: Seconds. PostgreSQL dates a row when its transaction begins, and others see it when that has ended.
_COMMITS_WITHIN = 1.0
#: Of a time-out for an attempt: so long after a call the next one may be its repeat. The API notes a call when it takes
#: it, which on a machine with too much to do is seconds after it was sent.
_NOTED_LATE = 1 / 3
#: Of all orders that were asked about: so many may be asked again without a reason that the journal and the logs show.
_UNEXPLAINED = 0.02


class Span(NamedTuple):
    """Of an order in flight: from its first score to its commit."""

    first: float
    last: float

    @classmethod
    def of(cls, scored: Sequence[Call], decided_at: float | None) -> "Span":
        """Without a decision it is in flight to the end."""
        first = scored[0].at if scored else float("inf")
        return cls(first, float("inf") if decided_at is None else decided_at + _COMMITS_WITHIN)

    def meets(self, window: Window) -> bool:
        since, until = window
        return self.first <= until and since <= self.last


def check_calls(verdict: Verdict, books: Books, rows: Mapping[UUID, Mapping[str, Any]], allowed: Allowed) -> None:
    """I6, and that a row's score is one that the API gave for this order."""
    decided = _decided_at(books)
    unexplained = []
    repeats = 0
    for key, calls in books.calls.items():
        scored = _scored(calls)
        again = [call.at for call in scored if not _is_within(call.at, allowed.lost_answers)]
        verdict.extra_calls += max(0, len(again) - 1)
        span = Span.of(scored, decided.get(key))
        repeats += retries(again, span, allowed)
        if is_excess(again, span, allowed):
            gaps = ", ".join(f"{after - before:.1f} s" for before, after in itertools.pairwise(again))
            told = f"{key}: asked again {gaps} later, and in flight at no disruption that explains it"
            unexplained.append(told)
        row = rows.get(UUID(key))
        if row is not None and row["score"] is not None and row["score"] not in {call.score for call in scored}:
            verdict.fault("divergent", f"{key}: the score {row['score']} was never given")
    if len(unexplained) > _UNEXPLAINED * len(books.calls):
        for told in unexplained:
            verdict.fault("excess_calls", told)
    verdict.allowed_calls = sum(in_flight(books, allowed.disruptions))
    verdict.allowed_calls += min(repeats, math.ceil(_UNEXPLAINED * len(books.calls)))
    if verdict.extra_calls > verdict.allowed_calls:
        verdict.fault(
            "excess_calls",
            f"{verdict.extra_calls} calls for orders that had a score, {verdict.allowed_calls} are explained",
        )
    for order_id, row in rows.items():
        if row["score"] is not None and str(order_id) not in books.calls:
            verdict.fault("divergent", f"{order_id}: scored and the risk API was never asked")


def in_flight(books: Books, disruptions: Iterable[Window]) -> list[int]:
    """For each disruption: orders that the API had scored by its end, and that were not decided when it began.

    No other order may be asked about again because of it: what is decided is found, what was not scored had no call.
    """
    decided = _decided_at(books)
    spans = [Span.of(scored, decided.get(key)) for key, calls in books.calls.items() if (scored := _scored(calls))]
    return [sum(span.meets(window) for span in spans) for window in disruptions]


def is_excess(asked: Sequence[float], span: Span, allowed: Allowed) -> bool:
    """Whether one order was asked about more often than its own disruptions and retries explain."""
    explained = sum(span.meets(window) for window in allowed.disruptions)
    return len(asked) - 1 - retries(asked, span, allowed) > explained


def retries(asked: Sequence[float], span: Span, allowed: Allowed) -> int:
    """How many of an order's calls may be repeats after a time-out: it was not decided, and one before is long ago.

    Each is taken for the repeat of one call: of two workers who ask at once, each repeats its own.
    """
    long, last, repeats = allowed.attempt_timeout * _NOTED_LATE, list[float](), 0
    for at in asked:
        before = next((each for each in last if at - each >= long and at <= span.last), None)
        if before is not None:
            last.remove(before)
            repeats += 1
        last.append(at)
    return repeats


def _decided_at(books: Books) -> dict[str, float]:
    """By order: when its decision was committed, as its first status with one says."""
    found: dict[str, float] = {}
    for record in books.statuses:
        try:
            state = json.loads(record.value or b"{}")
            if state.get("score") is not None:
                at = datetime.fromisoformat(state["updated_at"]).timestamp()
                found[state["order_id"]] = min(at, found.get(state["order_id"], at))
        except (ValueError, KeyError, AttributeError):
            continue  # no status record, which is a fault of its own
    return found


def merged(windows: Iterable[Window]) -> list[Window]:
    """The same without overlaps: what several workers tell of one rebalance is one."""
    found: list[Window] = []
    for since, until in sorted(windows):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1])
        else:
            found.append((since, until))
    return found


def _scored(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if call.score is not None]


def _is_within(at: float, windows: Iterable[Window]) -> bool:
    return any(since <= at <= until for since, until in windows)
