"""A worker whose group client hangs is alive, ready and idle: its liveness must say that it should be restarted."""

import signal
from pathlib import Path

from creditstream.simulation.mix import make_mix
from devtools.wait import wait_for
from tests.chaos.group import Group
from tests.support.cloned import Template
from tests.support.product import audited
from tests.support.servers import Servers
from tests.support.web import ask

_ORDERS = 200
_WITHIN = 90.0


def test_a_silent_group_fails_liveness_and_another_worker_has_its_orders(
    stack: Servers, template: Template, tmp_path: Path
) -> None:
    with Group.opened(stack, template, tmp_path) as group:
        silent = group.worker("silent", "silent_worker", stuck_after=8)
        other = group.worker("other", stuck_after=8)
        silent.wait_until_ready()
        other.wait_until_ready()
        silent.send(signal.SIGHUP)
        wait_for(lambda: ask(silent.url + "/health/live").status == 503, _WITHIN, "its liveness fails")
        assert ask(silent.url + "/health/live").json == {
            "status": "stuck",
            "partitions": [f"all of the group {group.environ['CREDITSTREAM_GROUP']}"],
        }
        assert "no word from the consumer group for 8 s although Kafka answers" in silent.log()
        lines = make_mix(_ORDERS, 10, 5, 5, seed=17)
        group.topics.produce("orders", [(None, line.value) for line in lines])
        group.settle(len(lines))
        assert ask(other.url + "/health/live").json == {"status": "live"}
        assert audited(group.environ)["orders"] == _ORDERS
