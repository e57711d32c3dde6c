"""The ledger knows orders that were removed on purpose: with their month, or their customer."""

from collections.abc import Callable

import msgspec
import pytest

from creditstream.operations.audit.ledger import Ledger
from schemas.status import FORGOTTEN, FORGOTTEN_CUSTOMER, Row
from tests.unit.test_audit import ONE, OTHER, THIS, TWO, audited, faults, publish, row, settle


def forgotten(known: Row, **changes: object) -> Row:
    whose = {"customer_id": FORGOTTEN_CUSTOMER, "fingerprint": FORGOTTEN, "version": known.version + 1}
    return msgspec.structs.replace(known, **(whose | changes))


def test_an_order_that_went_with_its_month_is_not_lost() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_order(0, 1, ONE, OTHER)
        ledger.add_letter(None, 0, 1, "conflict")
        ledger.add_removed(ONE)
        publish(ledger, row())
        ledger.add_status(0, 9, str(ONE).encode(), None)

    assert faults(audited(fill)) == (0, 0, 0)


def test_a_forgotten_order_takes_any_content_as_its_own() -> None:
    def fill(ledger: Ledger) -> None:
        ledger.add_order(0, 0, ONE, THIS)
        ledger.add_order(0, 1, ONE, OTHER)
        ledger.add_letter(None, 0, 1, "conflict")  # from before
        publish(ledger, row())
        settle(ledger, forgotten(row()))

    report = audited(fill)
    assert faults(report) == (0, 0, 0)
    assert report.approved == 1


def another_id(ledger: Ledger) -> None:
    ledger.add_order(0, 0, TWO, THIS)
    ledger.add_removed(ONE)


def row_and_tombstone(ledger: Ledger) -> None:
    settle(ledger, row())
    ledger.add_status(0, 9, str(ONE).encode(), None)


def tombstone_of_nothing(ledger: Ledger) -> None:
    ledger.add_status(0, 9, b"no order id", None)


def decision_changed(ledger: Ledger) -> None:
    publish(ledger, row())
    settle(ledger, forgotten(row(), score=1))


def version_kept(ledger: Ledger) -> None:
    publish(ledger, row())
    settle(ledger, forgotten(row(), version=1))


def another_customer(ledger: Ledger) -> None:
    publish(ledger, row())
    settle(ledger, row(customer_id="c-2", version=2))


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (another_id, (1, 0, 0)),
        (row_and_tombstone, (0, 0, 1)),
        (tombstone_of_nothing, (0, 0, 1)),
        (decision_changed, (0, 1, 0)),
        (version_kept, (0, 1, 0)),
        (another_customer, (0, 1, 0)),
    ],
)
def test_what_is_a_fault_stays_one(fill: Callable[[Ledger], None], expected: tuple[int, int, int]) -> None:
    assert faults(audited(fill)) == expected
