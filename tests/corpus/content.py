"""PURE: a case's parts as bytes."""

import gzip
import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import cramjam

from tests.corpus.cases import Case

#: The usual order, each field as its JSON text.
USUAL = {
    "order_id": '"<id>"',
    "customer_id": '"c-corpus"',
    "amount": '"1500.00"',
    "term_months": "12",
    "product": '"personal_loan"',
    "created_at": '"2026-11-23T12:00:00Z"',
}
_HOURS = re.compile(r"<now([+-]\d+)h>")
_CLOCK = re.compile(r"now(?:\*(?P<times>\d+)|(?P<minutes>[+-]\d+)m)?")
_PACKERS: dict[str, Callable[[bytes], Any]] = {
    "gzip": gzip.compress,
    "zstd": cramjam.zstd.compress,
    "snappy": cramjam.snappy.compress,
    "lz4": cramjam.lz4.compress,
}


class Message(NamedTuple):
    """What a producer is given. `timestamp` in milliseconds; None: the producer's clock."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...]
    timestamp: int | None

    @property
    def size(self) -> int:
        """Its content's bytes."""
        parts = [self.key, self.value, *(part for header in self.headers for part in header)]
        return sum(len(part or b"") for part in parts)


def message(case: Case, order_id: UUID, now: datetime) -> Message:
    """The case's record for an order of that id."""
    names = _names(case, order_id)

    def built(spec: Any) -> bytes | None:
        return None if spec == {"null": True} else _bytes(spec, names, now)

    headers = tuple((built(name) or b"", built(value)) for name, value in case.headers)
    headers += tuple((b"h%d" % number, b"%d" % number) for number in range(case.more_headers))
    return Message(built(case.key), built(case.value), headers, _timestamp(case.timestamp, now))


def _names(case: Case, order_id: UUID) -> dict[str, str]:
    fields = {name: text for name, text in (USUAL | case.fields).items() if name not in case.without}
    order = "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
    # In this order: an order holds the others.
    return {
        "<order>": order,
        "<open>": order[:-1],
        "<id>": str(order_id),
        "<ID>": str(order_id).upper(),
        "<hex>": order_id.hex,
    }


def _bytes(spec: Any, names: Mapping[str, str], now: datetime) -> bytes:
    if isinstance(spec, str):
        return _text(spec, names, now).encode()
    if isinstance(spec, list):
        return b"".join(_bytes(part, names, now) for part in spec)
    match spec:
        case {"hex": str(digits)}:
            return bytes.fromhex(digits)
        case {"repeat": part, "times": int(times)}:
            return _times(_bytes(part, names, now), times)
        case {"count": str(pattern), "times": int(times)}:
            return "".join(pattern.replace("#", str(number)) for number in range(times)).encode()
        case {"noise": int(size)}:
            return _noise(size)
        case {"text": str(text), "as": str(encoding)}:
            return _text(text, names, now).encode(encoding)
        case {"pack": part, "by": str(packer)}:
            return bytes(_PACKERS[packer](_bytes(part, names, now)))
    raise ValueError(f"no such content: {spec!r} (tests/corpus/README.md)")


@lru_cache
def _times(part: bytes, times: int) -> bytes:
    """The same object for all records that hold it: there are megabytes of it."""
    return part * times


@lru_cache
def _noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def _text(text: str, names: Mapping[str, str], now: datetime) -> str:
    for name, meant in names.items():
        text = text.replace(name, meant)
    return _HOURS.sub(lambda found: (now + timedelta(hours=int(found[1]))).isoformat(), text)


def _timestamp(spec: int | str, now: datetime) -> int | None:
    if isinstance(spec, int):
        return spec
    if not spec:
        return None
    milliseconds = int(now.timestamp() * 1000)
    clock = _CLOCK.fullmatch(spec)
    if clock is None:
        return int(datetime.fromisoformat(spec).replace(tzinfo=UTC).timestamp() * 1000)
    return milliseconds * int(clock["times"] or 1) + 60_000 * int(clock["minutes"] or 0)
