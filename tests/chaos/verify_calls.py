"""PURE: I6, from the risk API's own journal: who was asked about again, and which orders could be."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.chaos.evidence import Allowed, Books, Call, Verdict, Window

#: Seconds. PostgreSQL dates a row when its transaction begins, and others see it when that has ended.
_COMMITS_WITHIN = 1.0


def check_calls(verdict: Verdict, books: Books, rows: Mapping[UUID, Mapping[str, Any]], allowed: Allowed) -> None:
    """I6, and that a row's score is one that the API gave for this order."""
    again: dict[str, int] = {}
    for key, calls in books.calls.items():
        scored = _scored(calls)
        again[key] = max(0, len([call for call in scored if not _is_within(call.at, allowed.lost_answers)]) - 1)
        row = rows.get(UUID(key))
        if row is not None and row["score"] is not None and row["score"] not in {call.score for call in scored}:
            verdict.fault("divergent", f"{key}: the score {row['score']} was never given")
    verdict.extra_calls = sum(again.values())
    verdict.allowed_calls = sum(in_flight(books, allowed.disruptions))
    if verdict.extra_calls > verdict.allowed_calls:
        verdict.fault(
            "excess_calls",
            f"{verdict.extra_calls} calls for orders that had a score, {verdict.allowed_calls} were in flight at "
            f"disruptions; of {', '.join(key for key, times in again.items() if times)[:200]}",
        )
    for order_id, row in rows.items():
        if row["score"] is not None and str(order_id) not in books.calls:
            verdict.fault("divergent", f"{order_id}: scored and the risk API was never asked")


def in_flight(books: Books, disruptions: Iterable[Window]) -> list[int]:
    """For each disruption: orders that the API had scored by its end, and that were not decided when it began.

    No other order may be asked about again because of it: what is decided is found, what was not scored had no call.
    """
    decided = _decided_at(books)
    spans = [
        (scored[0].at, decided.get(key, float("inf")) + _COMMITS_WITHIN)
        for key, calls in books.calls.items()
        if (scored := _scored(calls))
    ]
    return [sum(first <= until and since <= last for first, last in spans) for since, until in disruptions]


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
