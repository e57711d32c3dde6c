"""PURE: the headers that this program writes. Believed on its own topics alone: anybody may write them on `orders`.

What a producer wrote under one of these names travels on as `x-producer-…`, so that a dead letter shows it.
"""

from collections.abc import Iterable

Headers = tuple[tuple[str, bytes | None], ...]

ORIGINAL_TOPIC = "x-original-topic"
ORIGINAL_PARTITION = "x-original-partition"
ORIGINAL_OFFSET = "x-original-offset"
ORIGINAL_TIMESTAMP = "x-original-timestamp"
ORIGINAL_KEY = "x-original-key"
#: On a forward of a record that was handled before, maybe: after growth its home knows nothing of that.
REPLAYED = "x-replayed"
ATTEMPTS = "x-attempts"
FIRST_FAILED = "x-first-failed-at"
DUE = "x-next-attempt-at"
#: On a dead letter that was too large: bytes of the value as the producer wrote it, and how many headers, or the key
#: among them, are left out.
TRUNCATED_FROM = "x-truncated-from"
TRUNCATED_PARTS = "x-truncated-parts"
#: On a dead letter whose record was removed with its customer's data: the request's random id.
FORGOTTEN_BY = "x-forgotten-by"

#: On a dead letter about records that Kafka removed before they were read: the offset behind the last of them. Believed
#: with that reason alone.
REMOVED_UNTIL = "x-removed-until"

#: On `orders-retry`: which row somebody wants asked about again (`dlq replay`, ADR 0018).
REOPENS = "x-reopens"
#: On a dead letter of an order that waits for a person: its row's version.
ROW_VERSION = "x-row-version"

ORIGIN = (ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET, ORIGINAL_TIMESTAMP)
#: Believed on `orders-by-id`.
HOP = frozenset({*ORIGIN, ORIGINAL_KEY, REPLAYED})
#: Believed on `orders-retry`.
WAIT = HOP | {ATTEMPTS, FIRST_FAILED, DUE, REOPENS}
#: Around the producer's own headers on a dead letter.
LETTER = frozenset(
    {
        *ORIGIN,
        ORIGINAL_KEY,
        ATTEMPTS,
        FIRST_FAILED,
        DUE,
        ROW_VERSION,
        TRUNCATED_FROM,
        TRUNCATED_PARTS,
        "x-error-class",
        "x-error-message",
        "x-last-failed-at",
        "x-application-version",
    }
)
#: Mean something somewhere.
RESERVED = WAIT | LETTER | {FORGOTTEN_BY}
PRODUCERS = "x-producer-"
_MOST_DIGITS = 19


def producers_own(headers: Iterable[tuple[str, bytes | None]], believed: frozenset[str]) -> Headers:
    """What the producer sent, of a record on a topic where those names are ours: ours left out, its own of our names
    under another.
    """
    return tuple((_renamed(name), value) for name, value in headers if name not in believed)


def _renamed(name: str) -> str:
    return PRODUCERS + name if name in RESERVED else name


def as_sent(headers: Headers) -> Headers:
    """The producer's headers under the names that it gave: for a record that goes back to `orders`."""
    return tuple(
        (bare if (bare := name.removeprefix(PRODUCERS)) in RESERVED else name, value) for name, value in headers
    )


def number(value: bytes | str | None) -> int | None:
    """A whole number of 64 bits, as Kafka has them; None for anything else."""
    text = value.decode("ascii", errors="replace") if isinstance(value, bytes) else value or ""
    digits = text.removeprefix("-")
    if not (0 < len(digits) <= _MOST_DIGITS and digits.isascii() and digits.isdigit()):
        return None
    found = int(text)
    return found if -(2**63) <= found < 2**63 else None
