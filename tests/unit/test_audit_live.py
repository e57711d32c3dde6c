"""What is on its way is no fault, what is lost stays one; and what seems amiss is looked at twice."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest
from aiokafka import TopicPartition

from creditstream.config.settings import Settings
from creditstream.kafka.topic_reader import Bounds, Topics
from creditstream.operations.audit import second_look
from creditstream.operations.audit.entries import RowFacts, StatusFacts
from creditstream.operations.audit.judge import Case, Evidence
from creditstream.operations.audit.ledger import Ledger, read_status, row_entry
from creditstream.operations.audit.places import Places
from creditstream.operations.audit.readers import Plan
from creditstream.operations.audit.second_look import Asked, SecondLook
from creditstream.operations.audit.small_books import never_read
from schemas.status import Row, encode_status
from tests.unit.test_audit import NOW, ONE, OTHER, THIS, TWO, audited, faults, publish, row, settle

Show = Callable[[Case], Case]
WAITING = row(status="under_review", reason="waiting_for_risk", score=None)
REFUSED = row(status="under_review", reason="risk_refused", score=None)


def order_without_outcome(ledger: Ledger) -> None:
    ledger.add_order(0, 5, ONE, THIS)


def no_order_without_letter(ledger: Ledger) -> None:
    ledger.add_invalid(0, 5, "not_json")


def conflict_without_letter(ledger: Ledger) -> None:
    settle(ledger, row(fingerprint=OTHER))
    ledger.add_order(0, 5, ONE, THIS)


@pytest.mark.parametrize("fill", [order_without_outcome, no_order_without_letter, conflict_without_letter])
def test_a_record_that_the_group_has_not_passed_is_on_its_way(fill: Callable[[Ledger], None]) -> None:
    report = audited(fill, passed={0: 5})
    assert (faults(report), report.on_the_way) == ((0, 0, 0), 1)
    report = audited(fill, passed={})
    assert (faults(report), report.on_the_way) == ((0, 0, 0), 1), "nothing of the partition is passed"
    report = audited(fill, passed={0: 6})
    assert (faults(report), report.on_the_way) == ((1, 0, 0), 0)


def test_a_record_that_was_sent_on_is_on_its_way_until_it_is_passed_there() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 5, ONE, THIS)
        ledger.add_forwarded(ONE, 0, 5)
        ledger.add_order(0, 4, TWO, THIS)

    report = audited(fill, passed={0: 9})
    assert (faults(report), report.on_the_way) == ((1, 0, 0), 1)
    assert report.examples["lost"] == ["orders[0]@4: no row and no dead letter"]


def row_without_status(ledger: Ledger) -> None:
    ledger.add_row(row())


def row_newer_than_status(ledger: Ledger) -> None:
    ledger.add_row(row(version=2))
    publish(ledger, WAITING)


def refused_without_letter(ledger: Ledger) -> None:
    ledger.add_order(0, 3, ONE, THIS)
    settle(ledger, REFUSED)


def nobody_tries_it(ledger: Ledger) -> None:
    settle(ledger, WAITING)


_HALF_DONE = [row_without_status, row_newer_than_status, refused_without_letter, nobody_tries_it]


@pytest.mark.parametrize("fill", _HALF_DONE)
def test_what_follows_a_commit_may_still_come_while_a_record_of_the_order_is_not_passed(
    fill: Callable[[Ledger], None],
) -> None:
    def due(ledger: Ledger) -> None:
        fill(ledger)
        ledger.add_waiting(ONE, 7, NOW - 1)

    def again(ledger: Ledger) -> None:
        fill(ledger)
        ledger.add_order(0, 5, ONE, THIS)

    def sent_on(ledger: Ledger) -> None:
        fill(ledger)
        ledger.add_forwarded(ONE, 1, 9)

    def of_another(ledger: Ledger) -> None:
        fill(ledger)
        ledger.add_forwarded(TWO, 1, 9)

    for at_work in (due, again, sent_on):
        assert faults(audited(at_work, passed={0: 5})) == (0, 0, 0)
    assert faults(audited(of_another, passed={0: 5})) != (0, 0, 0)
    assert faults(audited(again, passed={0: 6})) != (0, 0, 0)


@pytest.mark.parametrize("fill", [row_without_status, row_newer_than_status])
def test_an_order_that_waits_for_its_time_has_all_that_it_should_have_by_now(fill: Callable[[Ledger], None]) -> None:
    def waits(ledger: Ledger) -> None:
        fill(ledger)
        ledger.add_waiting(ONE, 7, NOW - 1)  # and done with, behind another that is not
        ledger.add_waiting(ONE, 8, NOW + 60_000)

    assert faults(audited(waits)) == (0, 0, 1)


def test_a_dead_letter_about_the_orders_very_content_is_known_when_its_record_is_gone() -> None:
    def repeated(ledger: Ledger) -> None:
        """The letter is about the first record, which Kafka has removed."""
        ledger.add_order(0, 90, ONE, THIS)
        ledger.add_letter(None, 0, 3, "risk_refused")
        ledger.add_letter_about(ONE, THIS, waits=True)
        settle(ledger, REFUSED)

    def given_up(ledger: Ledger) -> None:
        ledger.add_letter_about(ONE, THIS, waits=False)
        settle(ledger, WAITING)

    def of_another_content(ledger: Ledger) -> None:
        ledger.add_letter_about(ONE, OTHER, waits=True)
        settle(ledger, WAITING)

    assert faults(audited(repeated)) == faults(audited(given_up)) == (0, 0, 0)
    report = audited(of_another_content)
    assert faults(report) == (1, 0, 0)
    assert "under review (waiting_for_risk), but no attempt on orders-retry" in report.examples["lost"][0]


def test_records_that_nobody_read_are_those_between_what_is_passed_and_what_is_there() -> None:
    zero, one, two = (("orders", number) for number in range(3))
    starts = {_at(*zero): 10, _at(*one): 10, _at(*two): 10}
    found = never_read(starts, {_at(*zero): 10, _at(*one): 7}, {("orders", 1, 2): 5})
    assert [(fault.where, fault.records) for fault in found] == [
        ("orders[1]@2", 3),
        ("orders[1]@7", 3),
    ], "and where the group has no offset, it is new"
    assert never_read(starts, {}, {}) == [], "a group that Kafka has forgotten"


def _at(topic: str, partition: int) -> Any:
    return TopicPartition(topic, partition)


class Looks(SecondLook):
    """Plays answers of the primary, and what the topics show at each look."""

    def __init__(self, cases: list[Case], asked: list[Asked], shown: list[Show]) -> None:
        plan = Plan(Settings(), Bounds({}, {}), {})
        super().__init__(plan, cast(Topics, None), Places(), cases)
        self.answers, self.shown = asked, shown

    async def _ask(self) -> Asked:
        return self.answers.pop(0)

    async def _read(self) -> Evidence:
        show = self.shown.pop(0)
        for order_id, known in self._open.items():
            self._open[order_id] = show(known)
        return Evidence(Places(), Places(), {}, NOW)


def asked(*rows: Row, **known: Any) -> Asked:
    found = Asked({}, set(), set())
    for one in rows:
        found.rows.setdefault(one.order_id.bytes, []).append(RowFacts(*row_entry(one)))
    return replace(found, **known)


def status(of: Row) -> StatusFacts:
    _, published, decided, partition, _, version, _ = cast(
        Any, read_status(0, 0, str(of.order_id).encode(), encode_status(of))
    )
    return StatusFacts(partition, version, published, None, decided)


def nothing_new(known: Case) -> Case:
    return known


def shows(of: Row) -> Show:
    return lambda known: replace(known, status=status(of))


def at_work(known: Case) -> Case:
    return replace(known, due_ms=0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_look, "_PAUSE", 0)


def looked(cases: list[Case], answers: list[Asked], shown: list[Show]) -> list[str]:
    looks = Looks(cases, answers, shown)
    found = asyncio.run(looks.faults())
    assert not looks.answers and not looks.shown
    return [fault.what for fault in found]


def case(order_id: UUID = ONE, **known: Any) -> Case:
    return Case(order_id.bytes, **known)


def test_a_row_that_is_the_same_before_and_after_a_look_is_judged_by_it() -> None:
    decided = row(version=2)
    same = [asked(decided), asked(decided)]
    assert looked([case()], [*same], [shows(decided)]) == []
    assert looked([case()], [*same], [at_work]) == []
    assert looked([case()], [*same], [shows(WAITING)]) == ["row and last status record differ"]
    assert looked([case(status=status(WAITING))], [*same], [nothing_new]) == ["row and last status record differ"]


def test_a_row_that_changed_is_looked_at_once_more() -> None:
    decided = row(version=2)
    answers = [asked(WAITING), asked(decided), asked(decided)]
    assert looked([case()], answers, [nothing_new, shows(decided)]) == []
    answers = [asked(), asked(decided), asked(decided)]
    assert looked([case()], answers, [nothing_new, nothing_new]) == ["row without status record"]


def test_what_a_forget_or_a_retention_is_at_work_on_is_no_fault_and_what_it_left_is_one() -> None:
    left = {"unpublished": {ONE.bytes}}
    for at_work_then, at_work_now in ((True, True), (True, False), (False, True)):
        answers = [asked(row(), **left, at_work=at_work_then), asked(row(), **left, at_work=at_work_now)]
        assert looked([case()], answers, [nothing_new]) == []
    broken_off = [asked(row(), **left), asked(row(), **left)]
    assert looked([case()], broken_off, [nothing_new]) == ["row without status record"]
    removed = {"removed": {ONE.bytes}} | left
    gone = [asked(**removed, at_work=True), asked(**removed, at_work=True)]
    assert looked([case(status=status(row()))], gone, [nothing_new]) == []
    gone = [asked(**removed), asked(**removed)]
    assert looked([case(status=status(row()))], gone, [nothing_new]) == ["status record without row"]
