"""What an order costs, against a loop written by hand, in one run: a change for the worse is a ratio, not a time."""

from pathlib import Path

from bench.burst import burst, some_orders
from bench.contenders import Contender, Creditstream, Handwritten, Place
from tests.support.kafka import Topics
from tests.support.servers import Servers

_ORDERS = 4_000
#: As docs/measurements/performance.md promises. 0.7 to 0.9 was measured, on quiet and crowded machines: twice that.
_AT_MOST = 1.6
#: One good round is enough: what is really dearer is so in each.
_ROUNDS = 3


def test_an_order_costs_no_more_than_a_loop_written_by_hand_by_far(
    worker_environ: dict[str, str], stack: Servers, tmp_path: Path
) -> None:
    found: list[float] = []
    topics = Topics(stack)
    topics.create()
    try:
        ours = Creditstream(
            Place({**worker_environ, "CREDITSTREAM_RISK_CONCURRENCY_FLOOR": "256"}, tmp_path / "ours"),
        )
        by_hand = Handwritten(Place({**worker_environ, **_elsewhere(topics)}, tmp_path / "by_hand"))
        with_both(ours, by_hand, found)
    finally:
        topics.delete()
    assert min(found) <= _AT_MOST, f"CPU of an order as a multiple of the loop's: {found}"


def with_both(ours: Contender, by_hand: Contender, found: list[float]) -> None:
    """Rounds until one is good."""
    try:
        ours.start()
        by_hand.start()
        for contender in (ours, by_hand):
            burst(contender, some_orders(500, seed=1))
        while len(found) < _ROUNDS and (not found or min(found) > _AT_MOST):
            cost, limit = (burst(each, some_orders(_ORDERS, seed=2 + len(found))).cpu_us for each in (ours, by_hand))
            found.append(cost / limit)
    finally:
        for contender in (ours, by_hand):
            contender.stop()


def _elsewhere(topics: Topics) -> dict[str, str]:
    return {"CREDITSTREAM_TOPIC_PREFIX": topics.prefix, "CREDITSTREAM_GROUP": f"{topics.prefix}loop"}
