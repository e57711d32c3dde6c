"""The `dlq` command's arguments, checked, and its output."""

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from creditstream.dlq.letters import Filter
from creditstream.dlq.render import render_letter, render_listing, render_replayed
from creditstream.dlq.work import list_letters, replay_letters
from creditstream.errors import StartError
from creditstream.settings import Settings


async def run(settings: Settings, action: str, given: Mapping[str, Any]) -> int:
    """The exit code. Raises StartError for arguments that make no sense."""
    wanted = make_filter(given)
    if action == "replay":
        return await _replay(settings, wanted, given)
    listing = await list_letters(settings, wanted, limit=given["limit"])
    if action == "list":
        print(render_listing(listing, as_json=given["as_json"]))
    else:
        print("\n\n".join(render_letter(letter, unmasked=given["unmasked"]) for letter in listing.letters))
    return 0


async def _replay(settings: Settings, wanted: Filter, given: Mapping[str, Any]) -> int:
    if wanted.takes_all and not given["everything"]:
        raise StartError("dlq replay: say which letters, or --all")
    by = given["by"] or getpass.getuser()
    done = await replay_letters(settings, wanted, by=by, dry_run=given["dry_run"])
    print(render_replayed(done, dry_run=given["dry_run"]))
    return 0


def make_filter(given: Mapping[str, Any]) -> Filter:
    """From the command's options."""
    return Filter(
        reasons=frozenset(given["reasons"]),
        since=_time("--since", given["since"]),
        until=_time("--until", given["until"]),
        order_id=given["order_id"],
        partition=given["partition"],
        from_offset=given["from_offset"],
        to_offset=given["to_offset"],
        topic=given["topic"],
    )


def _time(option: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StartError(f"dlq {option} {text}: not a time such as 2026-11-24T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
