"""The simulation's models of Kafka and PostgreSQL are held to the real ones.

Each scenario in models/ is played on both, and what is seen is compared: with each other, and with what is right. A
model that is changed is found (models/mutants.py).
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.contracts.models.book import KAFKA, POSTGRES
from tests.contracts.models.real import on_real_servers
from tests.contracts.models.scenarios import Scenario, Seen
from tests.support.cloned import Template
from tests.support.servers import ROOT, Servers

#: Seconds. It takes four of a processor that it has for itself.
_WITHIN = 120.0

#: By change of a model, the scenarios that it makes red, if not more.
RED = {
    "no_generation_fence": {"a_group_of_one", "a_second_member_makes_a_new_generation"},
    "no_repeat_stands_twice": {"a_batch_whose_answer_is_lost_stands_twice"},
    "no_last_stable_offset": {"nobody_reads_behind_an_open_transaction", "transactions_side_by_side"},
    "no_aborted_transactions": {"an_aborted_transaction", "transactions_side_by_side"},
    "no_offset_for_a_marker": {"a_committed_transaction", "an_aborted_transaction"},
    "no_commit_without_an_answer": {"an_answer_is_lost_and_the_rows_stand"},
    "no_wait_on_a_conflict": {"a_claim_waits_for_a_claim", "a_settling_waits_for_a_settling"},
    "no_look_after_a_wait": {"a_claim_waits_for_a_claim", "a_settling_waits_for_a_settling"},
    "no_wait_for_writers": {"a_month_goes_while_somebody_writes_to_it"},
    "no_ids_without_rows": {"an_id_outlives_its_row", "an_id_goes_later_than_its_row"},
    "no_second_count": {"a_month_that_was_written_to_is_kept", "a_month_that_is_kept_forgets_no_earlier_drop"},
    "no_month_comes_back": {"a_month_goes_while_somebody_writes_to_it", "a_month_that_was_written_to_is_kept"},
}


class Both:
    """What was seen in each scenario: on the real servers, and on the models by the change that was made to them."""

    def __init__(self, real: dict[str, Seen], simulated: dict[str, dict[str, Seen]]) -> None:
        self.real, self.simulated = real, simulated

    def red(self, change: str) -> set[str]:
        """The scenarios in which a model differs from the real server."""
        return {name for name, seen in self.simulated[change].items() if seen != self.real[name]}


@pytest.fixture(scope="module")
def both(stack: Servers, template: Template) -> Both:
    command = [sys.executable, "-m", "tests.contracts.models.simulated"]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as models,
        template.cloned() as database,
    ):
        real = on_real_servers(stack, database.dsn)
        simulated, errors = models.communicate(timeout=_WITHIN)
    assert models.returncode == 0, errors
    return Both(_plain(real), json.loads(simulated))


def _plain(seen: Any) -> Any:
    """As it comes out of another process."""
    return json.loads(json.dumps(seen))


@pytest.mark.parametrize("scenario", [*KAFKA, *POSTGRES], ids=lambda scenario: scenario.name)
def test_a_model_does_what_the_real_server_does(both: Both, scenario: Scenario) -> None:
    assert both.real[scenario.name] == _plain(scenario.right)
    assert both.simulated[""][scenario.name] == both.real[scenario.name]


@pytest.mark.parametrize("change", RED)
def test_a_model_that_is_changed_is_found(both: Both, change: str) -> None:
    assert both.red(change) >= RED[change]


def test_each_change_has_its_scenarios(both: Both) -> None:
    assert set(both.simulated) == {"", *RED}
