"""A worker with one known fault put in: the suite must go red (docs/explanation/guarantees.md).

`python -m tests.chaos.mutated_worker FAULT [POINT SIGNAL N] worker`: with a point, it also stops itself there.
"""

import signal
import sys
from collections.abc import Callable
from typing import Any

from faust.transport.consumer import Consumer

from creditstream import app
from tests.chaos.put_in import (
    ack_out_of_order,
    fausts_own_consumer,
    inverted_policy_and_unasked_approvals,
    mark_before_the_effects,
    mark_before_what_follows,
    no_home_partition,
    own_all_partitions,
    publishing_past_the_fence,
    put_in,
    redelivery_is_a_duplicate,
    status_from_memory,
)
from tests.chaos.stopped_worker import POINTS, stop_at

FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "ack_out_of_order": ack_out_of_order,
    "mark_before_the_effects": mark_before_the_effects,
    "status_from_memory": status_from_memory,
    "no_home_partition": no_home_partition,
    "fausts_own_consumer": fausts_own_consumer,
    "redelivery_is_a_duplicate": redelivery_is_a_duplicate,
    "publishing_past_the_fence": publishing_past_the_fence,
    "mark_before_what_follows": mark_before_what_follows,
    "inverted_policy_and_unasked_approvals": inverted_policy_and_unasked_approvals,
}


#: What the worker says after each turn of the timer that commits offsets.
COMMIT_TURN = "offsets were committed as far as they may be"


def tell_commits() -> None:
    """Not a fault: a scenario that kills the worker must know that its offsets were committed before."""
    commit = Consumer.commit

    async def told(self: Consumer, *args: Any, **kwargs: Any) -> bool:
        done = await commit(self, *args, **kwargs)
        print(COMMIT_TURN, file=sys.stderr, flush=True)
        return done

    put_in(Consumer, "commit", told)


def main() -> None:
    FAULTS[sys.argv[1]]()
    if sys.argv[1] == "fausts_own_consumer":
        own_all_partitions(app)  # this process's app is there already
    tell_commits()
    rest = sys.argv[2:]
    if len(rest) > 1:
        point, number, passing, *rest = rest
        POINTS[point](stop_at(int(passing), signal.Signals[number]))
    sys.argv[1:] = rest
    app.main()


if __name__ == "__main__":
    main()
