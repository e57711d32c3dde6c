"""decode_order: the order in canonical form, or InvalidOrder with a stable reason. Never anything else."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.careful_order import MAX_METADATA_DEPTH
from schemas.order import InvalidOrder, Order, _parse, _parse_carefully, decode_order

LATEST = datetime(2026, 11, 24, 12, tzinfo=UTC)
MAX_BYTES = 262_144
ID = "7b0c0a52-6d0e-4a52-9a25-0d6a1d5b1a11"
USUAL: dict[str, Any] = {
    "order_id": ID,
    "customer_id": "c-102",
    "amount": "1500.00",
    "term_months": 12,
    "product": "personal_loan",
    "created_at": "2026-11-23T12:00:00Z",
}


def decode(raw: bytes | None) -> Order:
    return decode_order(raw, latest=LATEST, max_bytes=MAX_BYTES)


def raw(**fields: Any) -> bytes:
    return json.dumps(USUAL | fields).encode()


def raw_with(name: str, text: str) -> bytes:
    """`text` as it stands for the value of that field."""
    return raw(**{name: "PLACEHOLDER"}).replace(b'"PLACEHOLDER"', text.encode("utf-8", "surrogatepass"))


def reason(value: bytes | None) -> str:
    with pytest.raises(InvalidOrder) as caught:
        decode(value)
    return caught.value.reason


def test_a_plain_order() -> None:
    assert decode(raw(metadata={"channel": "app"})) == Order(
        order_id=UUID(ID),
        customer_id="c-102",
        amount=Decimal("1500.00"),
        term_months=12,
        product="personal_loan",
        created_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        metadata={"channel": "app"},
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{" * (MAX_BYTES + 1), "too_large"),
        (raw(metadata={"text": "x" * 2_000_000}), "too_large"),
        (b" ", "not_json"),
        (b"hello", "not_json"),
        (b'{"order_id": ', "not_json"),
        (raw() + b"x", "not_json"),
        (b"\xff\xfe\xfd", "not_utf8"),
        (raw_with("customer_id", '"\u00e9"').replace(b"\xc3\xa9", b"\xe9"), "not_utf8"),
        (b"null", "not_an_object"),
        (b"[]", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b"1", "not_an_object"),
        (b"{}", "invalid_field"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_what_is_no_order_at_all(value: bytes | None, expected: str) -> None:
    assert reason(value) == expected


@pytest.mark.parametrize("end", [b"", b"1" + b"}" * 20_000])
def test_what_is_deep_and_no_order_has_one_of_two_reasons(end: bytes) -> None:
    """Python 3.14 reads as deep as the stack is, and so comes to what else is wrong."""
    assert reason(b'{"a":' * 20_000 + end) in {"too_deep", "not_json"}


@pytest.mark.parametrize("name", list(USUAL))
def test_every_field_is_needed(name: str) -> None:
    fields = {key: value for key, value in USUAL.items() if key != name}
    assert reason(json.dumps(fields).encode()) == "invalid_field"


@pytest.mark.parametrize("name", list(USUAL))
@pytest.mark.parametrize("value", [None, True, [], {}, -1, "", 1.5])
def test_wrong_types_are_refused(name: str, value: Any) -> None:
    if (name, value) == ("amount", 1.5):
        assert decode(raw(amount=value)).amount == Decimal("1.50")
    else:
        assert reason(raw(**{name: value})) in ("invalid_field", "invalid_amount")


@pytest.mark.parametrize("months", [0, 601, 12.0, "12", 10**30])
def test_terms_out_of_range(months: Any) -> None:
    assert reason(raw(term_months=months)) == "invalid_field"


AMOUNTS = [
    ('"1500.00"', "1500.00"),
    ("1500.00", "1500.00"),
    ("1500", "1500.00"),
    ("1.5e3", "1500.00"),
    ('"15E+2"', "1500.00"),
    ("0.01", "0.01"),
    ("0.1", "0.10"),
    ("999999999999.99", "999999999999.99"),
    ('"999999999999.99"', "999999999999.99"),
]


@pytest.mark.parametrize(("text", "expected"), AMOUNTS)
def test_amounts_are_exact(text: str, expected: str) -> None:
    amount = decode(raw_with("amount", text)).amount
    assert str(amount) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["0", "-1", "-0.01", '"0.00"', '"-0"', "0.001", '"1500.001"', '"1500.000"', "1000000000000", '"1e12"'],
        *['"NaN"', '"sNaN"', '"Infinity"', '"-Infinity"', '"1e999999"', '"1e-999999"', "1e400", "1e-400"],
        "9" * 4_000,
    ],
)
def test_amounts_that_are_none(text: str) -> None:
    assert reason(raw_with("amount", text)) == "invalid_amount"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e99999999999999999999", "01", "+1", ".5", "1."])
def test_numbers_that_json_does_not_know(text: str) -> None:
    assert reason(raw_with("amount", text)) == "not_json"
    assert reason(raw_with("metadata", '{"n": ' + text + "}")) == "not_json"


@pytest.mark.parametrize(
    "text",
    [
        *['""', '"x"', '"1,5"', '"1e99999999999999999999"', '"R$ 5"', '"0x1"'],
        # Python's Decimal takes these; another reader of the same order would not.
        *['"1_500.00"', '" 7 "', '"+5"', '"05"', '".5"', '"5."', '"\u0661\u0662"', '"\\u0661"', '"5\\n"'],
    ],
)
def test_amounts_that_are_no_numbers(text: str) -> None:
    assert reason(raw_with("amount", text)) == "invalid_amount"


@pytest.mark.parametrize("text", ["true", "null", "[]", '{"amount": 5}'])
def test_amounts_of_another_type(text: str) -> None:
    assert reason(raw_with("amount", text)) in ("invalid_field", "duplicate_key")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T12:00:00", "invalid_field"),
        ("2026-11-23", "invalid_field"),
        ("2026-02-30T12:00:00Z", "invalid_field"),
        ("0000-01-01T00:00:00Z", "invalid_field"),
        ("0001-01-01T00:00:00Z", "invalid_time"),
        ("0001-01-01T00:00:00+14:00", "invalid_time"),
        ("9999-12-31T23:59:59-14:00", "invalid_time"),
        ("1999-12-31T23:59:59.999999Z", "invalid_time"),
        ("2026-11-24T12:00:00.000001Z", "invalid_time"),
        ("2060-01-01T00:00:00Z", "invalid_time"),
    ],
)
def test_times_that_are_none(text: str, expected: str) -> None:
    assert reason(raw(created_at=text)) == expected


@pytest.mark.parametrize("text", ["2026-11-23T09:00:00-03:00", "2026-11-23T12:00:00.000Z", "2026-11-23t12:00:00z"])
def test_times_are_turned_into_utc(text: str) -> None:
    created_at = decode(raw(created_at=text)).created_at
    assert created_at == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert created_at.utcoffset() == timedelta(0)


def test_the_limits_of_time_are_inside() -> None:
    for text in ("2000-01-01T00:00:00Z", LATEST.isoformat()):
        assert isinstance(decode(raw(created_at=text)), Order)


@pytest.mark.parametrize("text", [ID.upper(), f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("-", ""), f" {ID}\n"])
def test_other_spellings_of_the_id(text: str) -> None:
    assert decode(raw(order_id=text)).order_id == UUID(ID)


@pytest.mark.parametrize("text", ["x", ID[:-1], ID + "0", ID.replace("7", "g"), "null"])
def test_ids_that_are_none(text: str) -> None:
    assert reason(raw(order_id=text)) == "invalid_field"


@pytest.mark.parametrize("text", ["a\n", "\n", "a\0", "\x1f", "a\x7fb", "x" * 65])
@pytest.mark.parametrize("name", ["customer_id", "product"])
def test_texts_that_people_cannot_read(name: str, text: str) -> None:
    assert reason(raw(**{name: text})) in ("invalid_field", "invalid_text")


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc00\ud800"])
@pytest.mark.parametrize("escaped", [True, False])
def test_half_a_surrogate_pair_is_no_text(text: str, escaped: bool) -> None:
    value = json.dumps(text, ensure_ascii=escaped)
    for name in ("customer_id", "product"):
        assert reason(raw_with(name, value)) == "invalid_text"
    for metadata in ('{"a": %s}', "{%s: 1}", '{"a": [{"b": %s}]}'):
        assert reason(raw_with("metadata", metadata % value)) == "invalid_text"
    assert reason(raw()[:-1] + f", {value}: 1}}".encode("utf-8", "surrogatepass")) == "invalid_text"


def test_nul_in_metadata_is_refused() -> None:
    for metadata in ({"a": "\0"}, {"\0": 1}, {"a": [{"b": "x\0y"}]}):
        assert reason(raw(metadata=metadata)) == "invalid_text"


def test_characters_outside_the_first_plane_are_texts() -> None:
    for ascii_only in (True, False):
        value = json.dumps(USUAL | {"customer_id": "João \U0001f600"}, ensure_ascii=ascii_only).encode()
        assert decode(value).customer_id == "João \U0001f600"


@pytest.mark.parametrize("name", [*USUAL, "metadata"])
def test_a_key_given_twice_is_refused(name: str) -> None:
    value = json.dumps((USUAL | {"metadata": {}})[name])
    again = raw(metadata={})[:-1] + f', "{name}": {value}}}'.encode()
    escaped = raw(metadata={})[:-1] + f', "\\u{ord(name[0]):04x}{name[1:]}": {value}}}'.encode()
    assert reason(again) == reason(escaped) == "duplicate_key"


@pytest.mark.parametrize("metadata", [None, [], "x", 1])
def test_metadata_is_an_object(metadata: Any) -> None:
    assert reason(raw(metadata=metadata)) == "invalid_field"


def _nested(depth: int, opening: str, closing: str) -> bytes:
    return raw_with("metadata", '{"a": ' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_metadata_has_a_bounded_depth(opening: str, closing: str) -> None:
    assert isinstance(decode(_nested(MAX_METADATA_DEPTH - 1, opening, closing)), Order)
    assert reason(_nested(MAX_METADATA_DEPTH + 1, opening, closing)) == "too_deep"
    assert reason(_nested(10_000, opening, closing)) == "too_deep"


def test_unknown_fields_are_kept_in_metadata() -> None:
    order = decode(raw(channel="web", trace={"id": 1.5}, metadata={"channel": "app"}))
    assert order.metadata == {"channel": "app", "trace": {"id": 1.5}}


def test_errors_never_show_values() -> None:
    secret = "52998224725"
    for value in (
        raw(customer_id=secret + "\n"),
        raw(order_id=secret),
        raw(amount=secret * 2),
        raw(created_at=secret),
        raw(term_months=int(secret)),
        raw(metadata=secret),
        secret.encode() + b"x",
        raw()[:-1] + f', "{secret}": 1, "{secret}": 2}}'.encode(),
    ):
        with pytest.raises(InvalidOrder) as caught:
            decode(value)
        assert secret not in str(caught.value) and secret not in caught.value.reason
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_never_raise_anything_else(value: bytes) -> None:
    try:
        decode(value)
    except InvalidOrder as error:
        assert error.reason.isidentifier()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(st.characters(codec=None)), children, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*USUAL, "metadata", "other"]), json_values, max_size=3), st.booleans())
def test_almost_orders_never_raise_anything_else(changes: dict[str, Any], ascii_only: bool) -> None:
    value = json.dumps(USUAL | changes, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        order = decode(value)
    except InvalidOrder as error:
        assert error.reason.isidentifier()
    else:
        assert len(order.fingerprint()) == 16
        msgspec.json.encode(order)


@st.composite
def valid_orders(draw: st.DrawFn) -> Order:
    text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=64)
    return Order(
        order_id=draw(st.uuids()),
        customer_id=draw(text),
        amount=draw(st.decimals("0.01", "999999999999.99", places=2)).quantize(Decimal("0.01")),
        term_months=draw(st.integers(1, 600)),
        product=draw(text),
        created_at=draw(st.datetimes(datetime(2000, 1, 1), datetime(2026, 11, 24), timezones=st.just(UTC))),
        metadata=draw(
            st.dictionaries(text, text | st.integers(-(2**53), 2**53) | st.booleans() | st.none(), max_size=4)
        ),
    )


@given(valid_orders())
def test_round_trip(order: Order) -> None:
    assert decode(msgspec.json.encode(order)) == order
    carefully = json.dumps(msgspec.to_builtins(order), indent=1).encode() + b"\n"
    assert decode(carefully) == order


_METADATA = st.dictionaries(
    st.text(max_size=5) | st.sampled_from(sorted(USUAL)),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def _read(parse: Any, value: bytes) -> Order | str:
    try:
        order: Order = parse(value)
    except InvalidOrder:
        return "refused"
    return order


@given(
    order=st.permutations([*USUAL, "metadata"]),
    metadata=_METADATA,
    text=st.sampled_from(["c-1", "metadata", "{", '{"amount":1}', "}", "a\\b", "\u00ea"]),
    twice=st.none() | st.sampled_from([*USUAL, "metadata"]),
    ascii_only=st.booleans(),
    spaces=st.sampled_from([(",", ":"), (", ", " : ")]),
    long=st.booleans(),
)
@settings(max_examples=1_000, deadline=None)
def test_the_fast_way_reads_what_the_careful_one_reads(
    order: list[str], metadata: Any, text: str, twice: str | None, ascii_only: bool, spaces: tuple[str, str], long: bool
) -> None:
    fields = USUAL | {"metadata": metadata | {"long": "x" * 1_000} if long else metadata, "product": text}
    pairs = [(name, fields[name]) for name in [*order, *([twice] if twice else [])]]
    parts = [f"{json.dumps(name)}{spaces[1]}{_dumped(value, ascii_only, spaces)}" for name, value in pairs]
    value = ("{" + spaces[0].join(parts) + "}").encode("utf-8", "surrogatepass")
    expected = _read(_parse_carefully, value)
    assert _read(_parse, value) == expected
    assert twice is None or expected == "refused"


def _dumped(value: Any, ascii_only: bool, spaces: tuple[str, str]) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=spaces)
