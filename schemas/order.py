"""A credit order: strict decoding of whatever bytes arrive, one canonical form, one content fingerprint."""

import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from uuid import UUID

import msgspec

from schemas.careful_order import AMOUNT, MAX_METADATA_DEPTH, read_carefully
from schemas.invalid_order import InvalidOrder as InvalidOrder  # a part of what decode_order promises

#: Text that people read and PostgreSQL stores: no control characters (text columns cannot hold NUL).
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]

OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Orders created before this are a producer's clock at fault, and each month would cost a partition."""
_LONG = 1_000
"""Bytes from which on it pays to look at the metadata apart from the fields."""
_CENT = Decimal("0.01")
_MAX_WHOLE_DIGITS = 12
_QUOTES = 2 * (6 + 4)
"""Around six keys, and the texts: order id, customer, product, time."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One credit order in canonical form: UUID, amount with two places, `created_at` in UTC."""

    order_id: UUID
    customer_id: Text
    amount: Decimal
    term_months: Annotated[int, msgspec.Meta(ge=1, le=600)]
    product: Text
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    metadata: dict[str, Any] = {}

    def fingerprint(self) -> bytes:
        """16 bytes over the business fields; spacing, key order and `metadata` do not count."""
        fields = (self.customer_id, self.amount, self.term_months, self.product, self.created_at)
        return hashlib.blake2b(_encode(fields), digest_size=16).digest()


class _Wire(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An order as it is written: the amount's own characters, since Decimal also takes underscores and other digits.

    And the metadata's, which may be long: what is looked for around them need not be looked for in them.
    """

    order_id: UUID
    customer_id: Text
    amount: msgspec.Raw
    term_months: Annotated[int, msgspec.Meta(ge=1, le=600)]
    product: Text
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    metadata: msgspec.Raw = msgspec.Raw(b"")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Wire).decode
_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode
#: NUL, or a surrogate that may be half a pair: looked at with care.
_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def decode_order(raw: bytes | None, *, latest: datetime, max_bytes: int) -> Order:
    """The order in `raw`, in canonical form.

    `latest`: orders created after it are refused (a clock at fault). Raises InvalidOrder, nothing else.
    """
    if not raw:
        raise InvalidOrder("empty", "the record has no value (null, tombstone or empty)")
    if len(raw) > max_bytes:
        raise InvalidOrder("too_large", f"{len(raw)} bytes, the limit is {max_bytes}")
    return _canonical(_parse(raw), latest)


def _parse(raw: bytes) -> Order:
    return _parse_plainly(raw) or _parse_carefully(raw)


def _parse_plainly(raw: bytes) -> Order | None:
    """None: look at it with care. msgspec alone would pass over what hides in it."""
    if _is_deep(raw) or (b"\\" in raw and _UNSTORABLE.search(raw)):
        return None
    try:
        wire = _decode(raw)
        metadata = bytes(wire.metadata)
        amount = AMOUNT.fullmatch(bytes(wire.amount).decode())
        if amount is None or not _is_plain(_without(metadata, raw), quoted=bool(amount["quote"]), more=bool(metadata)):
            return None
        return _order(wire, Decimal(amount["number"]), _decode_metadata(metadata) if metadata else {})
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _parse_carefully(raw: bytes) -> Order:
    """Twelve times slower than the plain way, and says what is wrong."""
    try:
        return msgspec.convert(read_carefully(raw), Order)
    except msgspec.ValidationError as error:
        raise InvalidOrder("invalid_field", str(error)) from None


def _is_deep(raw: bytes) -> bool:
    """Whether it may be nested too deeply. In a long one, looking for the next bracket is faster than counting all."""
    if len(raw) <= _LONG:
        return raw.count(b"{") + raw.count(b"[") > MAX_METADATA_DEPTH
    found = 0
    for bracket in (b"{", b"["):
        at = raw.find(bracket)
        while at >= 0:
            found += 1
            if found > MAX_METADATA_DEPTH:
                return True
            at = raw.find(bracket, at + 1)
    return False


def _without(metadata: bytes, raw: bytes) -> bytes:
    """What is left when the value is cut out; its key stays. All of it when the value is not behind the first key."""
    if not metadata:
        return raw
    start = raw.find(b"{", raw.find(b'"metadata"') + 1)
    if not raw.startswith(metadata, start):
        return raw
    return raw[:start] + raw[start + len(metadata) :]


def _order(wire: _Wire, amount: Decimal, metadata: dict[str, object]) -> Order:
    return Order(
        order_id=wire.order_id,
        customer_id=wire.customer_id,
        amount=amount,
        term_months=wire.term_months,
        product=wire.product,
        created_at=wire.created_at,
        metadata=metadata,
    )


def _is_plain(fields: bytes, *, quoted: bool, more: bool) -> bool:
    """Whether nothing hides in an order without its metadata: an escaped key, a key given twice.

    It has the quotes that the required keys and texts need, and no more. `quoted`: the amount is a text too; `more`:
    there is the key of the metadata.
    """
    return b"\\" not in fields and fields.count(b'"') == _QUOTES + 2 * (quoted + more)


def _canonical(order: Order, latest: datetime) -> Order:
    amount, created_at = _canonical_amount(order.amount), order.created_at
    if created_at.tzinfo is not UTC:
        try:
            created_at = created_at.astimezone(UTC)
        except OverflowError:
            raise InvalidOrder("invalid_time", "created_at is outside the calendar") from None
    if not OLDEST <= created_at <= latest:
        raise InvalidOrder("invalid_time", "created_at is before 2000 or in the future")
    if amount is order.amount and created_at is order.created_at:
        return order
    return msgspec.structs.replace(order, amount=amount, created_at=created_at)


def _canonical_amount(amount: Decimal) -> Decimal:
    if not amount.is_finite() or amount <= 0:
        raise InvalidOrder("invalid_amount", "amount is not a finite number above zero")
    has_two_places = amount.same_quantum(_CENT)
    if amount.adjusted() >= _MAX_WHOLE_DIGITS or not (has_two_places or int(amount.as_tuple().exponent) >= -2):
        raise InvalidOrder("invalid_amount", "amount has more than 12 digits before the point or 2 after it")
    try:
        return amount if has_two_places else amount.quantize(_CENT)
    except InvalidOperation:
        raise InvalidOrder("invalid_amount", "amount cannot be written with two places") from None
