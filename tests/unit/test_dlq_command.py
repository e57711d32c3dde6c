"""The `dlq` command from its options to what it prints and sends, over letters of the test's own."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import pytest

from creditstream.config.settings import Settings
from creditstream.kafka.publisher import Publisher
from creditstream.kafka.topic_reader import Topics
from creditstream.operations.dlq.command import run as dlq
from creditstream.order.ports import Outgoing, Publishes
from schemas.headers import FORGOTTEN_BY
from tests.unit.pipeline_rig import home_of, order_json, run
from tests.unit.test_dlq import record_of
from tests.unit.test_operators_words import GIVEN

_ORDER = order_json()
_BROKEN = b"no order at all"


class Desk(Publishes):
    """The dead-letter topic with four letters; `sent`: what was published, by topic."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self.opened, self.left_open = capsys, 0, 0
        self.sent: dict[str, list[tuple[int, bytes | None]]] = defaultdict(list)
        self.records = [
            _letter(0, _BROKEN, "not_json"),
            _letter(1, _ORDER, "risk_refused"),
            _letter(2, b"cut", "too_large", ("x-truncated-from", b"9000")),
            _letter(3, b"another", "not_json"),
        ]
        monkeypatch.setattr(Topics, "open", self._open_topics)
        monkeypatch.setattr(Publisher, "open", self._open_publisher)

    async def _open_topics(self, _settings: Settings, _names: list[str]) -> "Desk":
        self.left_open += 1
        return self

    async def _open_publisher(self, _settings: Settings) -> "Desk":
        self.opened += 1
        self.left_open += 1
        return self

    def size(self, _name: str) -> int:
        return len(self.records)

    def partitions(self, _name: str) -> int:
        return 4

    async def read(self, _name: str) -> AsyncIterator[list[Any]]:
        yield self.records[:2]
        yield self.records[2:]

    async def publish(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> dict[int, int]:
        for partition, outgoing in records.items():
            self.sent[topic] += [(partition, each.value) for each in outgoing]
        return dict.fromkeys(records, 0)

    async def close(self) -> None:
        self.left_open -= 1

    def told(self, action: str, **given: Any) -> tuple[int, str, str]:
        """The exit code, and what was printed where."""
        code = cast(int, run(dlq(Settings(), action, {**GIVEN, "by": "ana" if action == "replay" else None, **given})))
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err


def _letter(offset: int, value: bytes, reason: str, *more: tuple[str, bytes]) -> Any:
    origin = [("x-original-topic", b"orders"), ("x-original-partition", b"1"), ("x-original-offset", b"%d" % offset)]
    return record_of(value, [*origin, ("x-error-class", reason.encode()), *more], offset=offset)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


def test_a_list_counts_what_is_meant_and_shows_the_last(desk: Desk) -> None:
    code, out, _ = desk.told("list")
    assert code == 0 and "4 dead letters" in out
    assert all(f"orders[1]@{offset}" in out for offset in range(4))
    code, out, _ = desk.told("list", reasons=("not_json",), limit=1)
    assert code == 0 and "2 dead letters" in out
    assert "orders[1]@3" in out and "orders[1]@0" not in out
    assert "risk_refused" not in out


def test_what_is_shown_is_what_is_meant_and_nothing_found_is_told(desk: Desk) -> None:
    code, out, err = desk.told("show", reasons=("risk_refused",))
    assert (code, out.count("reason:")) == (0, 1)
    assert "risk_refused" in out and "personal_loan" in out
    code, out, err = desk.told("show", partition=9)
    assert (code, out) == (1, "") and "no dead letter matches" in err
    code, out, err = desk.told("list", partition=9)
    assert code == 0 and "no dead letter matches" in err
    code, out, err = desk.told("show", topic="orders", from_offset=3)
    assert code == 0 and "orders[1]@3" in out and "orders[1]@1" not in out
    assert desk.told("show", topic="elsewhere")[0] == 1


def test_a_replay_sends_what_is_meant_and_is_here_whole(desk: Desk) -> None:
    code, out, _ = desk.told("replay", everything=True)
    assert code == 0 and "3 dead letters sent again" in out and "not 1 whose records are not here whole" in out
    assert desk.sent == {"orders": [(1, _BROKEN), (1, b"another")], "orders-retry": [(home_of(_ORDER), _ORDER)]}
    desk.sent.clear()
    assert desk.told("replay", reasons=("risk_refused",))[0] == 0
    assert list(desk.sent) == ["orders-retry"]
    code, out, err = desk.told("replay", reasons=("too_large",))
    assert (code, "nothing can be sent again" in err) == (1, True)
    assert list(desk.sent) == ["orders-retry"]


def test_a_letter_whose_record_was_removed_is_not_sent_again(desk: Desk) -> None:
    desk.records.append(_letter(4, b"", "risk_refused", (FORGOTTEN_BY, b"a request")))
    code, out, _ = desk.told("replay", reasons=("risk_refused",))
    assert code == 0 and "1 dead letters sent again" in out and "not 1 whose records are not here whole" in out
    assert list(desk.sent.values()) == [[(home_of(_ORDER), _ORDER)]]


@pytest.mark.parametrize("dry_run", [False, True])
def test_whatever_a_replay_opens_it_closes(desk: Desk, dry_run: bool) -> None:
    desk.told("replay", everything=True, dry_run=dry_run)
    assert (desk.opened, desk.left_open) == (0 if dry_run else 1, 0)


def test_a_dry_run_sends_nothing(desk: Desk) -> None:
    code, out, _ = desk.told("replay", everything=True, dry_run=True)
    assert code == 0 and "3 dead letters would be sent again" in out
    assert (desk.sent, desk.opened) == ({}, 0)
