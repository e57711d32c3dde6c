"""Whole records as the field sends them, by the field's own producers: each has the outcome that the corpus says.

What they are stands in tests/corpus. CORPUS='headers: .*null' sends those alone, to look for one that ends a worker.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from creditstream.config.load import load_settings
from devtools.programs import Worker, answers
from devtools.wait import wait_for
from tests.conftest import StartWorker
from tests.corpus.books import behind, ends, read, stored
from tests.corpus.cases import Case, Kind, load
from tests.corpus.judge import mistakes, origin
from tests.corpus.kinds import KINDS, become
from tests.corpus.producers import send
from tests.corpus.shots import Shot, by_channel, shots
from tests.support.database import Database
from tests.support.kafka import Topics
from tests.support.product import audited, faust

#: Orders of `down-…` customers fail on purpose, and soon; so many letters are meant.
_SETTINGS = {
    "dead_letter_limit": 0,
    "retry_delay": 0.2,
    "retry_max_delay": 0.5,
    "retry_max_attempts": 3,
    "risk_breaker_min_calls": 100_000,
    "risk_retry_share": 100,
    "risk_deadline": 2,
    "risk_attempt_timeout": 2,
}
_GONE = "corpus-gone"
_ALL = "1000000"
_ELSE = "a marker, or one that was forwarded"
#: A loaded machine's time for all of it; a quiet one needs a tenth.
_WITHIN = 240.0
_ROWS = (
    "SELECT order_id::text, customer_id, amount::text, term_months, status, reason, created_at, metadata FROM orders"
)


def test_every_record_has_the_outcome_that_the_corpus_says(
    start_worker: StartWorker, worker_environ: dict[str, str], topics: Topics, database: Database
) -> None:
    cases = chosen()
    environ = worker_environ | {f"CREDITSTREAM_{name.upper()}": str(value) for name, value in _SETTINGS.items()}
    field = Field(topics, environ)
    first = start_worker(**_SETTINGS)
    field.send(cases, "kafka4")
    field.wait_for_half(first)
    first.kill()
    for kind in KINDS:
        field.send(cases, kind)
    second = start_worker(**_SETTINGS)
    field.wait_until_done(second)
    become(topics, "kafka4")
    mistakes = field.mistakes(database)
    assert not mistakes, "\n".join(mistakes)
    if len(cases) == len(load()):
        field.was_packed()
    look_at_letters(environ, topics)
    audited(environ)
    look_at_letters(environ, topics, blanked=forget(environ, topics, field.sent))
    audited(environ)
    assert second.exit_code is None and answers(f"{second.url}/health/ready") and answers(f"{second.url}/health/live")
    second.stop()
    grown = faust(environ, "grow", "--partitions", "6")
    assert grown.returncode == 0 and "Traceback" not in grown.stderr, grown
    start_worker(**_SETTINGS)
    audited(environ)


def chosen() -> list[Case]:
    pattern = os.environ.get("CORPUS", "")
    found = [case for case in load() if re.search(pattern, f"{case.part}: {case.name}")]
    assert found, f"no case is like CORPUS={pattern}"
    return found


class Field:
    """The producers, what they have sent, and what came of it."""

    def __init__(self, topics: Topics, environ: Mapping[str, str]) -> None:
        self._topics, self._settings = topics, load_settings(environ)
        self.sent: list[Shot] = []

    def send(self, cases: Sequence[Case], kind: Kind) -> None:
        """What is for topics of that kind, and not sent yet."""
        if any(shot.kind == kind for shot in self.sent):
            return
        become(self._topics, kind)
        found = shots(cases, kind, self._topics.partitions, datetime.now(UTC))
        for channel, some in by_channel(found):
            send(channel, some, self._topics)
        self.sent += found

    def _left(self) -> int:
        return sum(end - done for done, end in behind(self._topics, self._settings).values())

    def wait_for_half(self, worker: Worker) -> None:
        half = sum(ends(self._topics, "orders").values()) // 2
        self._wait(worker, lambda: self._left() <= half, "half of the records are done")

    def wait_until_done(self, worker: Worker) -> None:
        self._wait(worker, lambda: not self._left(), "every partition has lag 0")

    def _wait(self, worker: Worker, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_for(lambda: worker.exit_code is not None or condition(), _WITHIN, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._held_up(worker)}") from None
        assert worker.exit_code is None, f"the worker ended with {worker.exit_code}\n{self._held_up(worker)}"

    def _held_up(self, worker: Worker) -> str:
        """Where each partition stands, by the cases there; and what the worker said of its first trouble."""
        by_place = {shot.place: shot for shot in self.sent}
        lines = []
        for (topic, partition), (done, end) in behind(self._topics, self._settings).items():
            here = [by_place.get((topic, partition, offset), _ELSE) for offset in range(done, min(done + 3, end))]
            lines.append(f"{topic}[{partition}] {done} of {end}: next are {'; '.join(map(str, here))}")
        log = worker.log()
        trouble = max(0, log.find("Traceback"))
        return "\n".join([*lines, log[trouble : trouble + 2_000]])

    def mistakes(self, database: Database) -> list[str]:
        letters = read(self._topics, "orders-dead-letter")
        return mistakes(self.sent, letters, self._topics.name("orders-dead-letter"), rows(database))

    def was_packed(self) -> None:
        """Batches did get compressed, by every producer with every codec; and the broker packs where it is to."""
        kept = stored(self._topics, "orders")
        found = [(shot, kept[shot.place]) for shot in self.sent if shot.place in kept]
        packed = Counter(
            (shot.channel.producer, shot.channel.codec, how.codec)
            for shot, how in found
            if shot.kind == "kafka4" and how.records > 1
        )
        for producer, codec, _ in set(packed):
            assert packed[producer, codec, codec] > 0, f"no batch of {producer} is packed with {codec}: {packed}"
        for shot, how in found:
            assert not shot.kind.startswith("recompressed-") or shot.kind.endswith(how.codec), shot


def rows(database: Database) -> dict[UUID, Mapping[str, Any]]:
    names = ("customer_id", "amount", "term_months", "status", "reason", "created_at", "metadata")
    return {UUID(order_id): dict(zip(names, row, strict=True)) for order_id, *row in database.fetch(_ROWS)}


def look_at_letters(environ: Mapping[str, str], topics: Topics, blanked: int = 0) -> None:
    """All are listed, by their origin or where they stand, and shown; all that are whole would be sent again."""
    letters = read(topics, "orders-dead-letter")
    listed = msgspec.json.decode(dlq(environ, "list", "--json", "--limit", _ALL))
    listed_by = {letter[by] for letter in listed["letters"] for by in ("origin", "letter")}
    for letter in letters:
        topic, partition, offset = origin(letter) or ("", 0, 0)
        ways = {f"{topic}[{partition}]@{offset}", f"[{letter.partition}]@{letter.offset}"}
        assert ways & listed_by, f"not listed: {letter}"
    for reasons, options in ((listed["reasons"], ()), ({"not_json"}, ("--unmasked", "--reason", "not_json"))):
        shown = dlq(environ, "show", "--limit", _ALL, *options)
        assert not listed["reasons"].keys() & reasons or "origin:" in shown
    cut = len({origin(letter) for letter in letters if any(name == "x-truncated-from" for name, _ in letter.headers)})
    [count] = re.findall(r"([\d,]+) dead letters would be sent again", dlq(environ, "replay", "--all", "--dry-run"))
    whole = listed["count"] - blanked
    assert whole - cut <= int(count.replace(",", "")) <= whole


def dlq(environ: Mapping[str, str], *arguments: str) -> str:
    done = faust(environ, "dlq", *arguments)
    assert done.returncode == 0 and "Traceback" not in done.stderr, (arguments, done.stderr[-3_000:])
    return done.stdout


def forget(environ: Mapping[str, str], topics: Topics, sent: Sequence[Shot]) -> int:
    """The customer whom the corpus names for it; as much as was sent of him. Returns how many records are blank."""
    gone = [shot for shot in sent if shot.case.customer_is_forgotten]
    orders = sum(shot.case.outcomes == ["order"] for shot in gone)
    about = {shot.place for shot in gone}
    # The kill may have left two of one record.
    letters = sum(origin(letter) in about for letter in read(topics, "orders-dead-letter"))
    done = faust(environ, "forget", "--customer", _GONE, "--by", "ana")
    assert done.returncode == 0, (done.stdout, done.stderr[-3_000:])
    assert f"{orders} orders anonymised, {letters} dead letters blanked" in done.stdout, done.stdout
    assert letters >= len(gone) - orders
    return len(gone) - orders
