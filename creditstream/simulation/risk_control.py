"""What the simulated risk API takes: requests about orders, and what changes its behaviour."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec

from creditstream.simulation.risk_answers import Mode

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
    """One scripted answer: a status other than 200, or a mode. `retry_after` is the header's value."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200
    mode: Mode = "ok"
    retry_after: str | None = None


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /control. Only what is given changes; `reset` first puts everything back as it was at start."""

    reset: bool = False
    latency_ms: Annotated[float, msgspec.Meta(ge=0)] | None = None
    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    mode: Mode | None = None
    next: tuple[Script, ...] = ()
    orders: dict[UUID, tuple[Script, ...]] = {}
    model_version: Text | None = None
    #: A bureau that does not keep its word: each further score of a key is another one.
    rescore: bool | None = None
    #: Calls that it works on at a time, each for `latency_ms`, while the others queue; 0: all of them.
    capacity: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = None


decode_request = msgspec.json.Decoder(Request).decode
decode_control = msgspec.json.Decoder(Control).decode
