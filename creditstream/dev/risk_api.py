"""The simulated risk API: deterministic scores, remembered by Idempotency-Key, and every way to fail, on demand.

An order can choose its outcome by its customer_id: refuse-… is answered 422, down-… 503, slow-… not at all.
"""

import argparse
import asyncio
import hashlib
import random
import signal
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from aiohttp import web

SCORES = 1001
MODEL_VERSION = "simulated-1"

Mode = Literal["hang", "reset", "garbage", "html", "huge", "out_of_range"]
#: Longer than any deadline: the caller gives up first.
_HANG = 3600.0
_BODIES: dict[str, tuple[bytes, str]] = {
    "garbage": (b'{"score": 7', "application/json"),
    "html": (b"<html><body>Sign in</body></html>", "text/html"),
    "huge": (b'{"score":1,"model_version":"m","padding":"' + b"x" * 300_000 + b'"}', "application/json"),
    "out_of_range": (b'{"score":1001,"reasons":[],"model_version":"m"}', "application/json"),
}
_BY_CUSTOMER: tuple[tuple[str, "int | Mode"], ...] = (("refuse-", 422), ("down-", 503), ("slow-", "hang"))

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the API takes: see risk_api.openapi.yaml."""

    order_id: UUID
    customer_id: Text
    amount: Decimal
    term_months: Annotated[int, msgspec.Meta(ge=1, le=600)]
    product: Text
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scripted answer: a status, or a mode. `retry_after` is the header's value."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200
    mode: Mode | None = None
    retry_after: str | None = None


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Body of POST /control. Only what is given changes; `reset` first puts everything back as it was at start."""

    reset: bool = False
    latency_ms: Annotated[float, msgspec.Meta(ge=0)] | None = None
    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    #: Every answer until it is changed; "ok" for the usual ones.
    mode: Mode | Literal["ok"] | None = None
    #: The answers to the next calls, whatever they ask.
    next: tuple[Script, ...] | None = None
    #: The answers to the next calls of an order id.
    orders: dict[UUID, tuple[Script, ...]] | None = None
    model_version: Text | None = None


_request = msgspec.json.Decoder(Request).decode
_control = msgspec.json.Decoder(Control).decode
_encode = msgspec.json.Encoder().encode


def score_for(order_id: UUID) -> int:
    """0 to 1000, spread evenly, always the same for an id."""
    return int.from_bytes(hashlib.sha256(order_id.bytes).digest()[:4]) % SCORES


class Simulator:
    """State and answers. `journal()` counts what was asked."""

    def __init__(self, *, latency_ms: float = 0.0, error_rate: float = 0.0, seed: int = 7, keep: int = 0) -> None:
        self._start = (latency_ms, error_rate, seed)
        #: The last calls as they came in (header's key, body), for tests.
        self.received: deque[tuple[str, bytes]] = deque(maxlen=keep)
        self._back_to_start()

    def _back_to_start(self) -> None:
        self.latency_ms, self.error_rate, seed = self._start
        self._random = random.Random(seed)
        self.mode: Mode | Literal["ok"] | None = "ok"
        self.model_version = MODEL_VERSION
        self._next: deque[Script] = deque()
        self._orders: dict[UUID, deque[Script]] = {}
        self._calls: dict[str, int] = {}
        self._bodies: dict[str, int] = {}
        self._answers: dict[str, str] = {}
        self._statuses: Counter[int] = Counter()
        self._changed_bodies = 0
        self.received.clear()
