"""Dead letters on their way to the dead-letter topic: written whatever the record holds, cut if they are too large."""

import logging
from collections.abc import Callable
from datetime import datetime

import msgspec

from creditstream.metrics.instruments import Instruments
from creditstream.order.brakes import Brakes
from creditstream.order.outbox import Outbox, Parcel
from creditstream.order.ports import Outgoing
from creditstream.order.record import Record, Turn
from creditstream.order.routes import Routes
from creditstream.order.unforeseen import OF_A_RECORD, note
from schemas.dead_letter import DeadLetter
from schemas.headers import ORIGIN

log = logging.getLogger(__name__)

#: Bytes of a letter. The first fits into what we send at most (kafka.client.MAX_REQUEST_BYTES), the second into a topic
#: with Kafka's own default, the third into any; the last is our headers alone.
_SIZES = (5 * 1024 * 1024, 900_000, 60_000, 0)


def note_letter(metrics: Instruments, reason: str, record: Record) -> None:
    """Count the letter and say it in the log."""
    metrics.letters.add(reason)
    log.info("dead letter: %s", reason, extra={"reason": reason, **record.place})


def write_letter(
    metrics: Instruments, record: Record, reason: str, message: str, now: datetime, turn: Turn | None = None
) -> DeadLetter:
    """The record's letter. If one of its parts cannot be put into it, the letter is without its key and its headers.

    But for where it first stood, by which its letter is known.
    """
    try:
        return record.letter(reason, message, now, turn)
    except OF_A_RECORD as error:
        note(metrics, "sent", error, record.place)
    try:
        return _bare(record, frozenset(ORIGIN)).letter(reason, message, now)
    except OF_A_RECORD:
        return _bare(record, frozenset()).letter(reason, message, now)


def _bare(record: Record, kept: frozenset[str]) -> Record:
    """Without its key, and of its headers only those with one of the names."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        key=None,
        value=record.value,
        headers=tuple(header for header in record.headers if header[0] in kept) if kept else (),
        believed=record.believed & kept,
        replayed=record.replayed,
        acknowledge=record.acknowledge,
    )


def letter_parcel(
    routes: Routes, letter: DeadLetter, delivered: Callable[[], object], sizes: tuple[int, ...] = _SIZES
) -> Parcel:
    """The letter, on the way to the dead-letter topic; refused as too large, it goes again, shorter."""
    most, *shorter = sizes
    outgoing = Outgoing(*letter.to_record(most))
    partition = letter.partition % routes.partitions
    otherwise = (lambda: letter_parcel(routes, letter, delivered, tuple(shorter))) if shorter else None
    return Parcel(routes.orders_dead_letter, partition, outgoing, delivered, otherwise)


def truncated(letter: DeadLetter, size: int) -> DeadLetter:
    """Of a record that was cut when it was read, its value or its headers: the value had `size` bytes."""
    return letter if size < max(1, len(letter.value or b"")) else msgspec.structs.replace(letter, truncated_from=size)


class DeadLetters:
    """Dead letters of records that never became an order in flight."""

    def __init__(
        self, routes: Routes, outbox: Outbox, brakes: Brakes, metrics: Instruments, now: Callable[[], datetime]
    ) -> None:
        self._routes, self._outbox, self._brakes = routes, outbox, brakes
        self._metrics, self._now = metrics, now

    def send(self, record: Record, reason: str, message: str, size: int = 0) -> None:
        """The record is acknowledged once its letter is delivered. `size`: of its value, of which some may be cut."""
        note_letter(self._metrics, reason, record)
        self._brakes.ended(letter=True)
        letter = truncated(write_letter(self._metrics, record, reason, message, self._now()), size)
        self._outbox.add(letter_parcel(self._routes, letter, record.acknowledge))

    def instead(self, record: Record, topic: str) -> Parcel:
        """In place of a record that Kafka will not take on `topic`; it was acknowledged as that one."""
        note_letter(self._metrics, "too_large", record)
        letter = write_letter(self._metrics, record, "too_large", f"too large for {topic}", self._now())
        return letter_parcel(self._routes, letter, lambda: None)
