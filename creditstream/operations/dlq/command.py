"""The `dlq` command's arguments, checked, and its output."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.operations.arguments import who, word
from creditstream.operations.dlq.actions import There, list_letters, replay_letters
from creditstream.operations.dlq.filter import Filter
from creditstream.operations.dlq.render import render_letter, render_listing, render_missing, render_replayed

_LIMIT = 20
#: Options that not every action has: a `replay --limit 5` must not replay all.
_ONLY_FOR = {
    "limit": ("--limit", ("list", "show")),
    "as_json": ("--json", ("list",)),
    "unmasked": ("--unmasked", ("show",)),
    "everything": ("--all", ("replay",)),
    "dry_run": ("--dry-run", ("replay",)),
    "by": ("--by", ("replay",)),
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command's options, as `creditstream.operations.commands` declares them; None, or nothing, if not given."""

    reasons: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    order_id: UUID | None = None
    topic: str | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None
    limit: int | None = None
    as_json: bool = False
    unmasked: bool = False
    everything: bool = False
    dry_run: bool = False
    by: str | None = None


async def run(settings: Settings, action: str, options: Mapping[str, object]) -> int:
    """The exit code: 1 when `show` or `replay` find nothing. Raises StartError for arguments that make no sense."""
    given = msgspec.convert(options, Options)
    _check(action, given)
    wanted = make_filter(given)
    if action == "replay":
        return await _replay(settings, wanted, given)
    limit = _LIMIT if given.limit is None else given.limit
    listing = await list_letters(settings, wanted, limit=limit)
    if action == "list":
        print(render_listing(listing, as_json=given.as_json))
    elif listing.letters:
        print("\n\n".join(render_letter(letter, unmasked=given.unmasked) for letter in listing.letters))
    return _verdict(action, wanted, listing.reasons.total(), listing.there)


async def _replay(settings: Settings, wanted: Filter, given: Options) -> int:
    if wanted.takes_all and not given.everything:
        raise StartError("dlq replay: say which dead letters, or --all")
    if given.everything and not wanted.takes_all:
        raise StartError("dlq replay: --all is for all dead letters: leave it out, or the other options")
    by = who(given.by or "")
    done = await replay_letters(settings, wanted, by=by, dry_run=given.dry_run)
    print(render_replayed(done, dry_run=given.dry_run))
    return _verdict("replay", wanted, done.topics.total(), done.there, done.not_whole)


def _verdict(action: str, wanted: Filter, found: int, there: There, not_whole: int = 0) -> int:
    """The exit code. What was asked for and is not there is told on standard error; a list of nothing is a list."""
    missing = render_missing(wanted, found, there, not_whole)
    if missing and not (action == "list" and wanted.takes_all):
        print(f"creditstream: dlq {action}: {missing}", file=sys.stderr)
    return 1 if missing and action != "list" else 0


def _check(action: str, given: Options) -> None:
    for name, (option, actions) in _ONLY_FOR.items():
        if getattr(given, name) not in (None, False) and action not in actions:
            raise StartError(f"dlq {action}: {option} is for {' and '.join(actions)}")


def make_filter(given: Options) -> Filter:
    """From the command's options. Raises StartError for what cannot match anything."""
    made = Filter(
        reasons=frozenset(word("dlq --reason", reason) for reason in given.reasons),
        since=_time("--since", given.since),
        until=_time("--until", given.until),
        order_id=given.order_id,
        partition=given.partition,
        from_offset=given.from_offset,
        to_offset=given.to_offset,
        topic="" if given.topic is None else word("dlq --topic", given.topic),
    )
    if made.since and made.until and made.since >= made.until:
        raise StartError(f"dlq: nothing is at or after --since {given.since} and before --until {given.until}")
    if made.from_offset is not None and made.to_offset is not None and made.from_offset > made.to_offset:
        raise StartError(f"dlq: nothing is between --from-offset {made.from_offset} and --to-offset {made.to_offset}")
    return made


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StartError(f"dlq {option} {text}: not a time such as 2026-11-24T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
