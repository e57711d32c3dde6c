"""Places are read on the simulation's model of Kafka, under virtual time (tests/simulation/places.py)."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.servers import ROOT

#: Seconds. It takes four of a processor that it has for itself.
_WITHIN = 300.0
#: Virtual seconds in which an answer is there that nobody has to be patient for.
_AT_ONCE = 0.5

Told = dict[str, list[Any]]


@pytest.fixture(scope="module")
def told() -> Told:
    command = [sys.executable, "-m", "tests.simulation.places"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=_WITHIN, check=False)
    assert done.returncode == 0, done.stderr
    found: Told = json.loads(done.stdout)
    return found


def test_a_place_with_a_marker_at_the_logs_end_is_gone(told: Told) -> None:
    """Alone, and behind what an aborted transaction left."""
    (alone, took, _), (all_of_it, _, _) = told["a_marker_at_the_logs_end"]
    assert alone == {"0@4": None}
    assert took < _AT_ONCE
    assert all_of_it == {"0@1": "1", "0@2": None, "0@3": None, "0@4": None}


def test_what_stands_behind_an_aborted_range_is_read(told: Told) -> None:
    [(found, took, _)] = told["an_aborted_range_before_others"]
    assert found == {"0@0": None, "0@99": None, "0@101": "101", "0@102": "102"}
    assert took < _AT_ONCE


def test_what_lies_outside_the_log_is_gone(told: Told) -> None:
    (at_the_end, first, _), (behind, second, _) = told["a_log_that_ends_at_the_place"]
    assert at_the_end == {"0@3": None}
    assert behind == {"0@2": "2", "0@3": None, "0@4": None, "0@900": None}
    [(before, third, _)] = told["a_log_that_begins_behind_the_place"]
    assert before == {"0@3": None, "0@4": None, "0@5": "5", "0@9": "9"}
    assert max(first, second, third) < _AT_ONCE


def test_memory_bounds_a_go_and_each_partition_has_its_turn(told: Told) -> None:
    """Places of 100,000 bytes: as many as 4 MiB take. The other partition's only record is not left for later."""
    [(found, _, _)] = told["far_and_near_and_more_than_one_go_takes"]
    assert found.pop("1@1") == "1"
    assert found == {f"0@{offset}": f"{offset}" for offset in range(0, 84, 2)}


@pytest.mark.parametrize(
    ("fault", "others_within", "alone_within"),
    [
        ("a_partition_without_a_leader", _AT_ONCE, _AT_ONCE),
        ("a_leader_that_denies_it", 3.5, 10.5),
        ("a_damaged_record", _AT_ONCE, _AT_ONCE),
    ],
)
def test_a_partition_that_cannot_be_read_holds_up_no_other(
    told: Told, fault: str, others_within: float, alone_within: float
) -> None:
    (others, first, _), (alone, second, _) = told[fault]
    assert others == {"1@0": "0", "1@1": "1", "2@1": "1"}
    assert alone == "unavailable"
    assert first < others_within
    assert second < alone_within


def test_nothing_is_asked_of_kafka_between_two_reads(told: Told) -> None:
    """aiokafka would ask for a leader that is not there without a pause."""
    assert {asked for reads in told.values() for *_, asked in reads} == {0}


def test_an_answer_in_the_last_moment_counts(told: Told) -> None:
    [(found, _, _)] = told["an_answer_in_the_last_moment"]
    assert found == {"0@0": "0"}
