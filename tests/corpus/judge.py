"""PURE: whether what came of each record is what the corpus says."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.corpus.shots import Shot
from tests.corpus.wire import Found

#: Names that a letter uses itself: what a producer sent under one of them is shown under another.
_OURS = frozenset(
    {
        *("x-original-topic", "x-original-partition", "x-original-offset", "x-original-timestamp", "x-original-key"),
        *("x-error-class", "x-error-message", "x-attempts", "x-first-failed-at", "x-last-failed-at"),
        *("x-next-attempt-at", "x-application-version", "x-replayed", "x-forgotten-by", "x-truncated-from"),
    }
)
_SENT_AS = "x-producer-"
Place = tuple[str, int, int]
Rows = Mapping[UUID, Mapping[str, Any]]


def mistakes(shots: Sequence[Shot], letters: Sequence[Found], dead_letters: str, rows: Rows) -> list[str]:
    """One line for each case and what is wrong with it; empty: all is as the corpus says.

    `dead_letters`: the topic's name on the broker.
    """
    planted = {shot.place for shot in shots}
    about: dict[Place | None, list[Found]] = defaultdict(list)
    for letter in letters:
        if (dead_letters, letter.partition, letter.offset) not in planted:
            about[origin(letter)].append(letter)
    expected = {shot.order_id for shot in shots if set(shot.case.outcomes) != {"none"}}
    found = [f"a dead letter about nothing that was sent: {place}" for place in about if place not in planted]
    found += [f"a row of an order that was not sent: {order_id}" for order_id in rows if order_id not in expected]
    kinds: dict[tuple[str, str, str], list[Shot]] = defaultdict(list)
    for shot in shots:
        if "shown" not in shot.case.outcomes:
            for wrong in _wrong(shot, about[shot.place], rows, expected):
                kinds[shot.case.part, shot.case.name, wrong].append(shot)
    return found + [f"{some[0]}: {wrong} ({len(some)} such)" for (_, _, wrong), some in kinds.items()]


def origin(letter: Found) -> Place | None:
    """Where the record stood that the letter is about."""
    headers = {name: value or b"" for name, value in letter.headers}
    try:
        numbers = (int(headers[f"x-original-{name}"]) for name in ("partition", "offset"))
        return (headers["x-original-topic"].decode(), *numbers)  # type: ignore[return-value]
    except (KeyError, ValueError):
        return None


def _wrong(shot: Shot, letters: Sequence[Found], rows: Rows, expected: set[UUID]) -> list[str]:
    row = rows.get(shot.order_id)
    outcome = _outcome(shot, letters, row, expected)
    if outcome not in shot.case.outcomes:
        return [f"expected {shot.case.expect}, found {outcome}"]
    wrong = [
        f"its row has {name} {row.get(name)!r}"
        for name, value in shot.case.row.items()
        if row and not _is(row.get(name), value)
    ]
    for letter in letters:
        wrong += _wrong_letter(shot, letter)
    said = [dict(letter.headers) for letter in letters]
    for name, value in shot.case.letter.items():
        found = {headers.get(name) for headers in said}
        if said and not (value.encode() in found and found <= _allowed(name, value)):
            wrong.append(f"its letters have {name}: {found}")
    return wrong


def _allowed(name: str, value: str) -> set[bytes | None]:
    """A kill may leave two chains of turns: the one that joins the other's last attempt tells of one attempt less."""
    return {value.encode(), str(int(value) - 1).encode()} if name == "x-attempts" else {value.encode()}


def _outcome(shot: Shot, letters: Sequence[Found], row: object, expected: set[UUID]) -> str:
    reasons = sorted({dict(letter.headers).get("x-error-class", b"") or b"" for letter in letters})
    if reasons:
        return " and ".join(reason.decode(errors="replace") for reason in reasons)
    if row is None or (shot.case.outcomes == ["none"] and shot.order_id in expected):
        return "none"
    return "duplicate" if "duplicate" in shot.case.outcomes else "order"


def _is(found: Any, wanted: Any) -> bool:
    if isinstance(found, datetime):
        return found == datetime.fromisoformat(wanted)
    return bool(found == wanted)


def _wrong_letter(shot: Shot, letter: Found) -> list[str]:
    headers = dict(letter.headers)
    text = (headers.get("x-error-message") or b"").decode(errors="replace")
    wrong = []
    if shot.case.message and not re.search(shot.case.message, text):
        wrong.append(f"its letter says {text!r}")
    if shot.case.letter_is_cut and "x-truncated-from" not in headers:
        wrong.append("its letter does not say that it is cut")
    if "x-truncated-from" in headers:
        whole = (shot.message.value or b"").startswith(letter.value or b"") and (
            headers["x-truncated-from"] or b""
        ).isdigit()
        return wrong + ([] if whole else ["its letter is cut and no beginning of it"])
    if (letter.key, letter.value) != (shot.message.key, shot.message.value):
        wrong.append("its letter has another key or value")
    return wrong + _wrong_headers(shot, letter)


def _wrong_headers(shot: Shot, letter: Found) -> list[str]:
    """All that the producer sent, as often as it did, under its name or the one that is there for it."""
    left = list(letter.headers)
    missing = []
    for raw, value in shot.message.headers:
        name = raw.decode(errors="replace")
        names = [_SENT_AS + name] if name in _OURS else [name, _SENT_AS + name]
        shown = next((header for header in left if header[1] == value and _is_name(header[0], names, raw)), None)
        if shown is None:
            missing.append(f"its letter does not show the header {name[:40]!r}: {value[:20] if value else value!r}")
        else:
            left.remove(shown)
    twice = sorted(
        {name for name, _ in letter.headers if name in _OURS and [n for n, _ in letter.headers].count(name) > 1}
    )
    return missing[:3] + [f"its letter has more than one {name}" for name in twice]


def _is_name(found: str, names: Sequence[str], raw: bytes) -> bool:
    """A name that is no text is shown somehow."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return found in names
