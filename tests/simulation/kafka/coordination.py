"""What the coordinator of a group answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.kafka.member import Member

if TYPE_CHECKING:
    from tests.simulation.kafka.broker import Broker

Reply = Callable[[Any], None]


def _commit(broker: "Broker", request: Any, reply: Reply) -> None:
    offsets = {
        (topic, partition): offset for topic, partitions in request.topics for partition, offset, _ in partitions
    }
    group = broker.groups[request.consumer_group]
    code = group.commit(request.consumer_id, request.consumer_group_generation_id, offsets)
    if not code:
        broker.on_commit(request.consumer_group, offsets)
    done = [(topic, [(partition, code) for partition, *_ in partitions]) for topic, partitions in request.topics]
    reply(request.RESPONSE_TYPE(0, done))


def _committed(broker: "Broker", request: Any, reply: Reply) -> None:
    committed = broker.groups[request.consumer_group].committed
    asked = request.topics
    if asked is None:
        by_topic: dict[str, list[int]] = {}
        for topic, partition in committed:
            by_topic.setdefault(topic, []).append(partition)
        asked = list(by_topic.items())
    known = [
        (topic, [(partition, committed.get((topic, partition), -1), "", 0) for partition in partitions])
        for topic, partitions in asked
    ]
    reply(request.RESPONSE_TYPE(0, known, 0))


def _join(broker: "Broker", request: Any, reply: Reply) -> None:
    protocol, metadata = request.group_protocols[0]
    member = Member(request.session_timeout / 1000, request.rebalance_timeout / 1000, protocol, metadata)
    broker.groups[request.group].join(
        request.member_id, member, lambda *fields: reply(request.RESPONSE_TYPE(0, *fields))
    )


def _heartbeat(broker: "Broker", request: Any, reply: Reply) -> None:
    reply(request.RESPONSE_TYPE(0, broker.groups[request.group].heartbeat(request.member_id, request.generation_id)))


def _leave(broker: "Broker", request: Any, reply: Reply) -> None:
    reply(request.RESPONSE_TYPE(0, broker.groups[request.group].leave(request.member_id)))


def _sync(broker: "Broker", request: Any, reply: Reply) -> None:
    group = broker.groups[request.group]
    given = dict(request.group_assignment)
    group.sync(
        request.member_id, request.generation_id, given, lambda *fields: reply(request.RESPONSE_TYPE(0, *fields))
    )


COORDINATION: dict[int, Callable[["Broker", Any, Reply], None]] = {
    8: _commit,
    9: _committed,
    11: _join,
    12: _heartbeat,
    13: _leave,
    14: _sync,
}
"""By API key."""
