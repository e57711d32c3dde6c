"""A worker dies between the commit of an order that waits for a person and its letter: the next one writes the letter,
and asks nobody."""

import signal
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

from devtools.programs import http
from devtools.wait import wait_for
from schemas.decision import FOR_A_PERSON
from tests.chaos.group import Group, is_stopped
from tests.support.cloned import Template
from tests.support.product import audited, order_line
from tests.support.servers import Servers

#: Where an order has its row, and no letter; a letter, and no mark.
_POINTS = ("after_commit", "after_status_delivered", "after_letter_delivered")
_EACH: tuple[dict[str, object], ...] = (
    {"customer_id": "refuse-1"},
    {"customer_id": "nofile-1"},
    {"product": "yacht"},
    {"customer_id": "down-1"},
)
_PER_KIND = 5
_WITHIN = 60.0
_SETTINGS = {"retry_max_age": 0.001, "risk_deadline": 1, "risk_attempt_timeout": 0.5, "under_review_after": 300}
_SETTLED = "SELECT order_id::text FROM orders WHERE reason = ANY (%s)"


def _calls(group: Group) -> dict[str, Any]:
    return dict(http(f"{group.risk.url}/journal?full=1"))


def play(group: Group, point: str) -> None:
    stopped = group.worker("stopped", "stopped_worker", point, "SIGKILL", "1", **_SETTINGS)
    stopped.wait_until_ready()
    lines = [order_line(uuid4(), **fields).encode() for fields in _EACH for _ in range(_PER_KIND)]
    group.topics.produce("orders", [(None, line) for line in lines])
    wait_for(lambda: is_stopped(stopped, signal.SIGKILL), _WITHIN, f"the worker dies {point}")
    settled = [order_id for (order_id,) in group.database.fetch(_SETTLED, (list(FOR_A_PERSON),))]
    before = _calls(group)
    group.worker("other", **_SETTINGS)
    group.settle(len(lines))
    after = _calls(group)
    assert settled, "there are rows whose letter, or whose mark, is missing"
    assert {key: after.get(key) for key in settled} == {key: before.get(key) for key in settled}, (
        "nobody is asked again"
    )
    assert audited(group.environ)["dead_letters"] == dict.fromkeys(FOR_A_PERSON, _PER_KIND)


def test_the_letter_is_written_by_the_next_worker(stack: Servers, template: Template, tmp_path: Path) -> None:
    def case(point: str) -> str:
        try:
            with Group.opened(stack, template, tmp_path / point) as group:
                play(group, point)
        except Exception:  # noqa: BLE001 - whatever it is, the other cases go on
            return f"{point}: {traceback.format_exc(limit=-3)}"
        return ""

    with ThreadPoolExecutor(len(_POINTS)) as pool:
        problems = [problem for problem in pool.map(case, _POINTS) if problem]
    assert not problems, "\n".join(problems)
