"""Dead letters for people: a table, or one after the other with all that is known."""

import io
import itertools
import json
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from creditstream.operations.dead_letter import Letter
from creditstream.operations.dlq.actions import Listing, Replayed, There
from creditstream.operations.dlq.filter import Filter

#: Reasons and topics that one line names; anybody may have written any number of them.
_NAMED = 12
_NAME_LENGTH = 64
#: Fields that may stay readable: they say what kind of order it is, not whose.
_HARMLESS = frozenset({"order_id", "product", "term_months", "created_at"})


def render_listing(listing: Listing, *, as_json: bool) -> str:
    """Counts by reason, and the last letters without their content."""
    if as_json:
        letters = [_facts(letter) for letter in listing.letters]
        return json.dumps({"count": listing.reasons.total(), "reasons": dict(listing.reasons), "letters": letters})
    table = Table(title=f"{listing.reasons.total():,} dead letters")
    for name in ("reason", "failed at", "origin", "order", "attempts"):
        table.add_column(name, overflow="fold")
    for letter in listing.letters:
        facts = _facts(letter)
        cells = ("reason", "failed_at", "origin", "order_id", "attempts")
        table.add_row(*(escape(_line(facts[cell] or "")) for cell in cells))
    return _printed(table) + "\n" + _counts("by reason", listing.reasons)


def render_letter(letter: Letter, *, unmasked: bool) -> str:
    """One letter. `unmasked`: with the customer, the amount, the metadata, the key, and the producer's headers."""
    facts = {**_facts(letter), "message": letter.message, "version": letter.version, "replay_of": letter.root}
    lines = [f"{name + ':':12} {_line(str(value))}" for name, value in facts.items() if value is not None]
    if unmasked:
        lines += [f"{'key:':12} {_text(letter.key)}", f"{'value:':12} {_text(letter.value)}"]
        lines += [f"{'header:':12} {_line(name)}: {_text(value)}" for name, value in letter.headers]
    else:
        lines += [f"{'value:':12} {_line(masked(letter.value))}"]
        lines += [f"{'header:':12} {_line(name)}: ***" for name, _ in letter.headers]
    return "\n".join(lines)


def render_replayed(done: Replayed, *, dry_run: bool) -> str:
    """What was sent where."""
    count = done.topics.total()
    what = "would be sent again" if dry_run else "sent again"
    lines = [f"{count:,} dead letters {what}"]
    if count and done.not_whole:
        lines.append(f"  not {done.not_whole:,} {_NOT_WHOLE}")
    lines += [f"  {number:,} to {topic}" for topic, number in sorted(done.topics.items())]
    return "\n".join([*lines, _counts("by reason", done.reasons)]) if count else lines[0]


_NOT_WHOLE = "whose records are not here whole (removed by `forget`, or cut because they were too large)"


def render_missing(wanted: Filter, found: int, there: There, not_whole: int = 0) -> str:
    """One line: what of `wanted` is not there, and what is; empty if all was found. `found`: how many."""
    if not there.reasons:
        return "there is no dead letter"
    unknown = sorted(wanted.reasons - there.reasons.keys())
    if found and not unknown:
        return ""
    if unknown:
        what = f"no dead letter has the reason {_names(unknown)}"
    elif not_whole:
        return f"{not_whole:,} dead letters match, {_NOT_WHOLE}: nothing can be sent again"
    else:
        what = "no dead letter matches"
    reasons = _names(f"{reason} {count:,}" for reason, count in there.reasons.most_common())
    return f"{what}; there are {there.reasons.total():,}: {reasons}; from {_names(sorted(there.topics))}"


def _names(names: Iterable[str]) -> str:
    """The first ones, for one line."""
    first = [_line(name)[:_NAME_LENGTH] for name in itertools.islice(names, _NAMED + 1)]
    return ", ".join(first[:_NAMED] + ["…"] * (len(first) > _NAMED))


def _facts(letter: Letter) -> dict[str, str | None]:
    return {
        "reason": letter.reason,
        "failed_at": letter.failed_at.isoformat(timespec="seconds"),
        "origin": f"{letter.topic}[{letter.original_partition}]@{letter.original_offset}",
        "letter": f"[{letter.partition}]@{letter.offset}",
        "order_id": str(letter.order_id) if letter.order_id else None,
        "attempts": letter.attempts,
    }


def _counts(title: str, reasons: dict[str, int]) -> str:
    return "\n".join([f"{title}:", *(f"  {count:>8,}  {_line(reason)}" for reason, count in sorted(reasons.items()))])


def _text(value: bytes | None) -> str:
    return "(null)" if value is None else _line(value.decode(errors="replace"))


def _line(text: str) -> str:
    """Whatever a producer wrote, a terminal gets no control characters of his."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def _printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=140)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def masked(value: bytes | None) -> str:
    """The record as one may show it: personal data is replaced, what is no JSON object is told by its size alone."""
    try:
        fields = json.loads(value or b"")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return f"({len(value or b'')} bytes, not shown: no JSON object)"
    shown = {name: content if name in _HARMLESS and _is_short(content) else "***" for name, content in fields.items()}
    return json.dumps(shown, ensure_ascii=False)


def _is_short(content: object) -> bool:
    """A producer may have put anything into a field of a harmless name."""
    return isinstance(content, (int, float)) or (isinstance(content, str) and len(content) <= 40)
