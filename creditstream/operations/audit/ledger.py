"""PURE apart from its scratch file: every record, letter, row and status is entered, then the books are compared."""

import hashlib
import sqlite3
from collections.abc import Mapping
from importlib.resources import files
from types import TracebackType
from typing import Self
from uuid import UUID

import msgspec

from creditstream.operations.audit.report import FAULTS, Report
from schemas.decision import FOR_A_PERSON, RISK_UNAVAILABLE
from schemas.status import FORGOTTEN_CUSTOMER, Row, StatusRecord, decode_status, encode_status

_EXAMPLES = 20
_FINAL = ("approved", "rejected")
_LETTERS_OF_ROWS = {"conflict": None, RISK_UNAVAILABLE: 0} | dict.fromkeys(FOR_A_PERSON, 1)


def _sql(name: str) -> str:
    return files("creditstream.operations.audit").joinpath(f"sql/{name}.sql").read_text(encoding="utf-8")


class Ledger:
    """Enter everything, each partition in its order, then ask for the report. `path` "": a file that SQLite removes."""

    def __init__(self, path: str = "") -> None:
        self._books = sqlite3.connect(path, isolation_level=None)
        self._books.executescript(_sql("schema") + _sql("judged"))
        self._books.execute("BEGIN")
        self._books.executemany("INSERT INTO letters_of_rows VALUES (?, ?)", _LETTERS_OF_ROWS.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._books.close()

    def add_order(self, partition: int, offset: int, order_id: UUID, fingerprint: bytes) -> None:
        """A record on the orders topic that is an order."""
        self._books.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, NULL)",
            (partition, offset, order_id.bytes, fingerprint),
        )

    def add_invalid(self, partition: int, offset: int, reason: str) -> None:
        """A record on the orders topic that is none."""
        self._books.execute("INSERT OR REPLACE INTO records VALUES (?, ?, NULL, NULL, ?)", (partition, offset, reason))

    def add_letter(self, topic: str | None, partition: int, offset: int, reason: str) -> None:
        """A dead letter, by its origin; delivered twice, it counts once. `topic` None: it is the orders topic."""
        if topic is None:
            self._books.execute("INSERT OR IGNORE INTO letters VALUES (?, ?, ?)", (partition, offset, reason))
        else:
            self._books.execute(
                "INSERT OR IGNORE INTO other_letters VALUES (?, ?, ?, ?)", (topic, partition, offset, reason)
            )

    def add_row(self, row: Row) -> None:
        """A committed row."""
        self._books.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)",
            (
                row.order_id.bytes,
                row.created_at.isoformat(),
                row.fingerprint,
                row.status,
                row.reason,
                _digest(encode_status(row)),
            ),
        )

    def add_removed(self, order_id: UUID, fingerprint: bytes) -> None:
        """An order whose row went with its month; its id is still known."""
        self._books.execute("INSERT OR REPLACE INTO removed VALUES (?, ?)", (order_id.bytes, fingerprint))

    def add_status(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """A record of the status topic, in the order of its partition."""
        where = f"order-status[{partition}]@{offset}"
        if value is None and (removed := _order_id(key)):
            self._books.execute("DELETE FROM statuses WHERE id = ?", (removed.bytes,))
            return
        try:
            record = decode_status(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._fault("divergent", "not a status record", where)
            return
        if key != str(record.order_id).encode():
            self._fault("divergent", "a status record under another key than its order id", where)
            return
        self._enter_status(partition, where, record)

    def _enter_status(self, partition: int, where: str, record: StatusRecord) -> None:
        content = _digest(encode_status(record))
        final = content if record.status in _FINAL else None
        decision = _digest(encode_status(_impersonal(record)))
        found = self._books.execute(
            "SELECT part, version, published, final, decided FROM statuses WHERE id = ?", (record.order_id.bytes,)
        ).fetchone()
        if found:
            part, version, published, decided, decision_before = found
            if decided is not None and decided != content and record.customer_id == FORGOTTEN_CUSTOMER:
                same = decision == decision_before and record.version > version
                decided = content if same else decided
            if decided is not None and decided != content:
                self._fault("duplicated", "another status after the decision", where)
            elif part != partition:
                self._fault("divergent", "status records on two partitions", where)
            elif record.version < version or (record.version == version and content != published):
                self._fault("divergent", "the version did not grow", where)
            final = decided if decided is not None else final
        self._books.execute(
            "INSERT OR REPLACE INTO statuses VALUES (?, ?, ?, ?, ?, ?)",
            (record.order_id.bytes, partition, record.version, content, final, decision),
        )

    def _fault(self, fault: str, what: str, example: str) -> None:
        self._books.execute("INSERT INTO status_faults VALUES (?, ?, ?)", (fault, what, example))

    def report(self) -> Report:
        """What the books say when they are compared."""
        counted = self._books.execute(_sql("counts"))
        counts = dict(zip((column[0] for column in counted.description), counted.fetchone(), strict=True))
        letters: Mapping[str, int] = dict(self._books.execute(_sql("letters")).fetchall())
        faults = {fault: self._faults(fault) for fault in FAULTS}
        return Report(
            **counts,
            dead_letters=dict(letters),
            **{fault: count for fault, (count, _) in faults.items()},
            examples={fault: examples for fault, (_, examples) in faults.items() if examples},
            clean=not any(count for count, _ in faults.values()),
        )

    def _faults(self, fault: str) -> tuple[int, list[str]]:
        count, examples = 0, []
        for what, example in self._books.execute(_sql(fault)):
            count += 1
            if count <= _EXAMPLES:
                examples.append(f"{_readable(example)}: {what}")
        return count, examples


def _impersonal(record: StatusRecord) -> StatusRecord:
    """The decision alone: the same before and after the customer was forgotten."""
    return msgspec.structs.replace(record, customer_id=FORGOTTEN_CUSTOMER, version=0, updated_at=record.created_at)


def _order_id(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _readable(example: str) -> str:
    """An id in its usual form, a place as it is."""
    return str(UUID(example)) if len(example) == 32 and "[" not in example else example
