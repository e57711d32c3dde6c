"""Calibration: with a known fault put in, each scenario must find the books not clean; without it, clean."""

import asyncio
import signal
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from creditstream.order.home_partition import home_partition
from creditstream.simulation.mix import make_mix
from devtools.programs import Worker
from devtools.wait import wait_for
from tests.chaos.books import StatusBook, read_books
from tests.chaos.evidence import Purpose, Sent
from tests.chaos.group import Group, is_back, is_stopped
from tests.chaos.mutated_worker import COMMIT_TURN, FAULTS
from tests.chaos.verifier import verify
from tests.support.cloned import Template
from tests.support.product import order_line
from tests.support.servers import Servers

_AT_ONCE = 5
_WITHIN = 60.0
_NEVER = 1_000
#: The slow order comes first. The next worker takes only that until it is scored, and meanwhile fills its table: what
#: comes after it is judged by that.
_ONE_IS_SLOW = {"under_review_after": _NEVER}


def at_home(customer: str, partition: int) -> tuple[bytes, bytes]:
    """Key and value of an order whose home is this partition."""
    while home_partition(order_id := uuid4(), 4) != partition:
        pass
    return str(order_id).encode(), order_line(order_id, customer_id=customer).encode()


def one_order_held_back(group: Group, fault: str) -> int:
    """One order waits for the risk API while those behind it are done; the worker is killed; another goes on."""
    worker = group.worker("first", "mutated_worker", fault, risk_deadline=300, under_review_after=_NEVER)
    _at_work(worker)
    held = at_home("down-1", 0)
    group.topics.produce("orders", [held, *(at_home("c-1", 0) for _ in range(40))], partition=0)
    wait_for(lambda: group.database.fetch("SELECT count(*) FROM orders") == [(40,)], _WITHIN, "the others are done")
    _let_offsets_be_committed(worker)
    worker.kill()
    group.worker("second", risk_deadline=1, risk_attempt_timeout=0.5)
    return 41


def killed_before_the_status(group: Group, fault: str) -> int:
    """The worker is killed between the commit and the status."""
    worker = group.worker("first", "mutated_worker", fault, "before_status", "SIGKILL", "1", **_ONE_IS_SLOW)
    _at_work(worker)
    group.topics.produce("orders", [at_home("slow-1", 0), *(at_home("c-1", 0) for _ in range(39))], partition=0)
    wait_for(lambda: is_stopped(worker, signal.SIGKILL), _WITHIN, "the worker stops")
    group.worker("second", max_in_flight=1, **_ONE_IS_SLOW)
    return 40


def repeated_on_another_partition(group: Group, fault: str) -> int:
    """Nothing is killed: orders, and once they are done the same ones again, on another partition."""
    _at_work(group.worker("first", "mutated_worker", fault))
    records = [(None, line.value) for line in make_mix(40, 0, 0, 0, seed=4)]
    group.topics.produce("orders", records, partition=0)
    group.settle(len(records))
    group.topics.produce("orders", records, partition=1)
    return 2 * len(records)


def redelivered_while_in_flight(group: Group, fault: str) -> int:
    """Orders are in flight, a second worker joins, what stays with the first comes again; then both are killed."""
    group.risk.control(mode="hang")
    patient = {"risk_deadline": 300, "risk_attempt_timeout": 300, "under_review_after": _NEVER, "drain_timeout": 0.5}
    first = group.worker("first", "mutated_worker", fault, **patient)
    _at_work(first)
    group.topics.produce("orders", [at_home("c-1", partition) for partition in range(4) for _ in range(2)])
    wait_for(lambda: group.risk.journal()["calls"] >= 8, _WITHIN, "all are in flight")
    second = group.worker("second", "mutated_worker", fault, **patient)
    _at_work(second)
    wait_for(lambda: first.log().count("at work on partitions") > 1, _WITHIN, "the first goes on with its share")
    _let_offsets_be_committed(first, second)
    first.kill()
    second.kill()
    group.risk.control(mode="ok")
    group.worker("third")
    return 8


def frozen_before_an_old_status(group: Group, fault: str) -> int:
    """A worker freezes between the commit of "under review" and its status; another decides; the first one wakes."""
    group.risk.control(mode="hang")
    patient = {"risk_deadline": 300, "risk_attempt_timeout": 300, "under_review_after": 0.2}
    zombie = group.worker("first", "mutated_worker", fault, "before_status", "SIGSTOP", "1", **patient)
    _at_work(zombie)
    group.topics.produce("orders", [at_home("c-1", partition) for partition in range(4) for _ in range(5)])
    wait_for(lambda: is_stopped(zombie, signal.SIGSTOP), _WITHIN, "the worker freezes")
    group.risk.control(mode="ok")
    group.worker("second")
    group.settle(20)
    rebalances = zombie.log().count("rebalancing")
    zombie.send(signal.SIGCONT)
    wait_for(lambda: zombie.log().count("rebalancing") > rebalances, _WITHIN, "the zombie notices")
    wait_for(is_back(zombie), _WITHIN, "the zombie is back in the group")
    return 20


def killed_before_the_letter(group: Group, fault: str) -> int:
    """The worker is killed when orders wait for a person, and their letters are not delivered."""
    worker = group.worker("first", "mutated_worker", fault, "before_settled_letter", "SIGKILL", "1", **_ONE_IS_SLOW)
    _at_work(worker)
    group.topics.produce("orders", [at_home("slow-1", 0), *(at_home("refuse-1", 0) for _ in range(19))], partition=0)
    wait_for(lambda: is_stopped(worker, signal.SIGKILL), _WITHIN, "the worker stops")
    group.worker("second", max_in_flight=1, **_ONE_IS_SLOW)
    return 20


def decided_in_peace(group: Group, fault: str) -> int:
    """Nothing happens but orders."""
    _at_work(group.worker("first", "mutated_worker", fault))
    group.topics.produce("orders", [(None, line.value) for line in _PEACE])
    return len(_PEACE)


def judged(group: Group) -> str:
    """By the verifier, which knows what is to be decided; the product's own audit does not."""
    brokers = group.environ["CREDITSTREAM_KAFKA_BROKERS"]
    statuses = StatusBook(brokers, group.topics.prefix)
    sent = [Sent(line.kind, line.value) for line in _PEACE]
    books = asyncio.run(read_books(group.environ, sent, group.risk.url, statuses, Purpose()))
    verdict = verify(books)
    assert verdict.records == len(_PEACE)
    return "" if verdict.clean else str(verdict.examples)


def _at_work(worker: Worker) -> None:
    wait_for(lambda: "at work on partitions" in worker.log(), _WITHIN, "the worker is at work")


def _let_offsets_be_committed(*workers: Worker) -> None:
    """Three turns of each worker's commit timer from now: the last one began after all that was done by then."""
    before = [worker.log().count(COMMIT_TURN) for worker in workers]
    wait_for(
        lambda: all(
            worker.log().count(COMMIT_TURN) >= turns + 3 for worker, turns in zip(workers, before, strict=True)
        ),
        _WITHIN,
        "offsets are committed",
    )


_PEACE = make_mix(40, 0, 0, 0, seed=9)
SCENARIOS: dict[str, Callable[[Group, str], int]] = {
    "ack_out_of_order": one_order_held_back,
    "mark_before_the_effects": killed_before_the_status,
    "status_from_memory": repeated_on_another_partition,
    "no_home_partition": repeated_on_another_partition,
    "fausts_own_consumer": one_order_held_back,
    "redelivery_is_a_duplicate": redelivered_while_in_flight,
    "publishing_past_the_fence": frozen_before_an_old_status,
    "mark_before_what_follows": killed_before_the_letter,
    "inverted_policy_and_unasked_approvals": decided_in_peace,
}
#: Who finds it, if it is not the audit; and what must be among what is found, where two faults are played at once.
JUDGES: dict[Callable[[Group, str], int], Callable[[Group], str]] = {decided_in_peace: judged}
WORDS = {"inverted_policy_and_unasked_approvals": ("it is to be rejected", "that the risk API never gave")}


def play(servers: Servers, template: Template, folder: Path, fault: str, put_in: str) -> str:
    """What the audit says after the fault's scenario, with `put_in` in place."""
    try:
        with Group.opened(servers, template, folder) as group:
            scenario = SCENARIOS[fault]
            group.settle(scenario(group, put_in))
            return JUDGES.get(scenario, Group.audit)(group)
    except Exception:  # noqa: BLE001 - a scenario that cannot be played is its own failure
        return f"NOT PLAYED: {traceback.format_exc(limit=-3)}"


@pytest.mark.parametrize("is_in", [True, False], ids=["red_with_the_fault", "green_without"])
def test_each_known_fault_is_found_and_its_absence_is_not(
    stack: Servers, template: Template, tmp_path: Path, is_in: bool
) -> None:
    assert set(SCENARIOS) == set(FAULTS) - {"none"}
    # Without a fault, those that have the same scenario are the same.
    faults = list(SCENARIOS) if is_in else list({scenario: fault for fault, scenario in SCENARIOS.items()}.values())

    def audited(fault: str) -> str:
        return play(stack, template, tmp_path / fault, fault, fault if is_in else "none")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        said = dict(zip(faults, pool.map(audited, faults), strict=True))
    for fault, words in said.items():
        print(f"{fault}: {words[:300] or 'clean'}")
    assert not [words for words in said.values() if words.startswith("NOT PLAYED")], said
    wrong = {fault: words for fault, words in said.items() if bool(words) != is_in}
    assert not wrong, wrong
    for fault, wanted in WORDS.items() if is_in else ():
        assert [words for words in wanted if words not in said[fault]] == []
