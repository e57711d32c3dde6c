"""What operators give the commands: words that make no sense are refused, what finds nothing is told, in one line."""

import asyncio
import getpass
import io
import sys
from collections import Counter
from typing import Any
from uuid import UUID

import click
import pytest

from creditstream.config.settings import Settings
from creditstream.errors import StartError
from creditstream.operations.arguments import Amount, who, word
from creditstream.operations.dlq.actions import There
from creditstream.operations.dlq.command import run as dlq
from creditstream.operations.dlq.filter import Filter
from creditstream.operations.dlq.render import render_missing
from creditstream.operations.forget.customer import customer_id
from creditstream.operations.forget.letters import concerning
from schemas.status import FORGOTTEN_CUSTOMER
from tests.unit.test_dlq import record_of

GIVEN: dict[str, Any] = {
    **dict.fromkeys(("order_id", "topic", "partition", "from_offset", "to_offset", "since", "until", "limit", "by")),
    **dict.fromkeys(("as_json", "unmasked", "everything", "dry_run"), False),
    "reasons": (),
}
THERE = There(Counter(not_json=2, conflict=1), Counter(orders=3))


@pytest.mark.parametrize(
    ("action", "given", "said"),
    [
        ("replay", {}, "say which dead letters, or --all"),
        ("replay", {"everything": True, "reasons": ("conflict",)}, "--all is for all dead letters"),
        ("replay", {"limit": 5, "reasons": ("conflict",)}, "--limit is for list and show"),
        ("replay", {"as_json": True, "everything": True}, "--json is for list"),
        ("show", {"as_json": True}, "--json is for list"),
        ("list", {"unmasked": True}, "--unmasked is for show"),
        ("list", {"everything": True}, "--all is for replay"),
        ("list", {"dry_run": True}, "--dry-run is for replay"),
        ("show", {"by": "ana"}, "--by is for replay"),
        ("list", {"since": "yesterday"}, "--since yesterday: not a time"),
        ("list", {"since": ""}, "--since : not a time"),
        ("list", {"reasons": ("",)}, "--reason is empty"),
        ("list", {"topic": ""}, "--topic is empty"),
        ("list", {"topic": "\udcff"}, "--topic: the value is not text"),
        ("list", {"since": "2026-11-24", "until": "2026-11-24"}, "nothing is at or after --since 2026-11-24"),
        ("list", {"from_offset": 5, "to_offset": 4}, "nothing is between --from-offset 5 and --to-offset 4"),
        ("replay", {"everything": True, "by": "\udcff"}, "--by: the value is not text"),
    ],
)
def test_words_that_make_no_sense_for_dlq_are_refused_before_kafka_is_asked(
    action: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(StartError) as refused:
        asyncio.run(dlq(Settings(kafka_brokers="127.0.0.1:1"), action, GIVEN | given))
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "found", "there", "said"),
    [
        (Filter(), 3, THERE, ""),
        (Filter(reasons=frozenset({"conflict"})), 1, THERE, ""),
        (Filter(reasons=frozenset({"nonsense"})), 0, THERE, "no dead letter has the reason nonsense; there are 3: "),
        (Filter(reasons=frozenset({"conflict", "typo"})), 1, THERE, "no dead letter has the reason typo; there are 3:"),
        (Filter(partition=99), 0, THERE, "no dead letter matches; there are 3: not_json 2, conflict 1; from orders"),
        (Filter(order_id=UUID(int=1)), 0, There(Counter(), Counter()), "there is no dead letter"),
        (Filter(topic="x"), 0, There(Counter({"\x1b[31m": 1}), Counter(orders=1)), r"are 1: \x1b[31m 1; from orders"),
        (Filter(topic="x"), 0, There(Counter(map(str, range(99))), Counter(orders=99)), ", 11 1, …; from orders"),
        (Filter(topic="x"), 0, There(Counter(map(str, range(12))), Counter(orders=12)), ", 11 1; from orders"),
    ],
)
def test_what_was_not_found_is_told_with_what_there_is(wanted: Filter, found: int, there: There, said: str) -> None:
    told = render_missing(wanted, found, there)
    assert bool(told) == bool(said)
    assert said in told and "\n" not in told


def test_letters_that_hold_nothing_any_more_are_told_apart() -> None:
    assert "not here whole" in render_missing(Filter(reasons=frozenset({"conflict"})), 0, THERE, not_whole=1)


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "soon", ""])
def test_a_number_of_seconds_is_finite_and_not_negative(given: str) -> None:
    with pytest.raises(click.BadParameter):
        Amount().convert(given, None, None)
    assert Amount().convert("0.5", None, None) == 0.5


def test_who_does_it_is_named_even_where_nobody_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert who("ana") == word("--by", "ana") == "ana"
    for error in (KeyError("uid"), OSError("no user name")):

        def unknown(error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(getpass, "getuser", unknown)
        assert who("").isdecimal()


# -- the customer's id


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"c-102\n", "c-102"),
        (b"c-102", "c-102"),
        (b"c-102\r\n", "c-102"),
        (b" c 102 \n", " c 102 "),
        ("joão\n".encode(), "joão"),
        (b"x" * 64 + b"\n", "x" * 64),
        (b"-\n", "-"),
    ],
)
def test_the_customers_id_is_one_line_of_standard_input_to_the_letter(
    monkeypatch: pytest.MonkeyPatch, data: bytes, expected: str
) -> None:
    for given in (None, "-"):
        typed(monkeypatch, data)
        assert customer_id(given) == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"secret\nc-2\n", "more than one line"),
        (b"secret\n\n", "more than one line"),
        (b"secret\rc-2", "more than one line"),
        (b"secret" * 11, "more than 64 characters"),
        (b"secret" * 1_000, "more than 64 characters"),
        (b"secret\xff\n", "not UTF-8"),
        (b"secret\x00\n", "no customer has such an id"),
        (b"secret\x7f\n", "no customer has such an id"),
        (FORGOTTEN_CUSTOMER.encode(), "no customer has such an id"),
    ],
)
def test_what_is_no_customers_id_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, data: bytes, said: str
) -> None:
    typed(monkeypatch, data)
    with pytest.raises(StartError) as refused:
        customer_id(None)
    assert said in str(refused.value) and "secret" not in str(refused.value)


def test_an_argument_is_held_to_the_same_and_a_closed_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert customer_id("c-102") == "c-102"
    for given in ("", "x" * 65, "a\nb", "\udcff", FORGOTTEN_CUSTOMER):
        with pytest.raises(StartError):
            customer_id(given)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(StartError, match="is empty"):
        customer_id(None)


def test_at_a_terminal_it_is_asked_for_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "c-102")
    assert customer_id(None) == "c-102"


def test_an_id_that_is_no_word_matches_its_own_letters_only() -> None:
    letters = {name: record_of(b'{"customer_id": "%s", "x": "a - b"}' % name.encode(), []) for name in ("-", "c-1")}
    for whose, there in ((" ", []), ("-", ["-"]), ("c-1", ["c-1"])):
        assert [name for name, letter in letters.items() if concerning(whose, ())(letter)] == there
