"""What a broker answers to those who administer it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiokafka import errors

if TYPE_CHECKING:
    from tests.simulation.kafka.broker import Broker

_NO_TOPIC = errors.UnknownTopicOrPartitionError.errno
_OF_THE_TOPIC, _DEFAULT = 1, 5
_DEFAULTS = {"cleanup.policy": "delete", "retention.ms": "604800000"}
_STATES = {"empty": "Empty", "preparing": "PreparingRebalance", "completing": "CompletingRebalance", "stable": "Stable"}


def _describe_groups(broker: "Broker", request: Any) -> Any:
    described = []
    for name in request.groups:
        group = broker.groups[name]
        is_stable = group.state == "stable"
        members = [
            (each, "", "", member.metadata if is_stable else b"", member.assigned)
            for each, member in group.members.items()
        ]
        protocol = group.members[group.leader].protocol if is_stable else ""
        state = _STATES[group.state] if group.exists else "Dead"
        described.append((0, name, state, "consumer" if group.is_of_consumers else "", protocol, members))
    return request.RESPONSE_TYPE(described)


def _list_groups(broker: "Broker", request: Any) -> Any:
    known = [
        (name, "consumer" if group.is_of_consumers else "") for name, group in broker.groups.items() if group.exists
    ]
    return request.RESPONSE_TYPE(0, known)


def _create_topics(broker: "Broker", request: Any) -> Any:
    done = []
    for topic, partitions, _, _, config in request.create_topic_requests:
        code = errors.TopicAlreadyExistsError.errno if topic in broker.topics else 0
        if not code:
            broker.create(topic, partitions, dict(config))
        done.append((topic, code, None))
    return request.RESPONSE_TYPE(done)


def _create_partitions(broker: "Broker", request: Any) -> Any:
    done = []
    for topic, (count, _) in request.topic_partitions:
        code = 0
        if topic not in broker.topics:
            code = _NO_TOPIC
        elif count <= len(broker.topics[topic]):
            code = errors.InvalidPartitionsError.errno
        else:
            broker.create(topic, count)
        done.append((topic, code, None))
    return request.RESPONSE_TYPE(0, done)


def _delete_records(broker: "Broker", request: Any) -> Any:
    answers = []
    for topic, partitions in request.topics:
        done = [(partition, *_deleted(broker, topic, partition, offset)) for partition, offset in partitions]
        answers.append((topic, done))
    return request.RESPONSE_TYPE(0, answers)


def _deleted(broker: "Broker", topic: str, partition: int, offset: int) -> tuple[int, int]:
    """Where the log starts now, and the error's code."""
    log = broker.log(topic, partition)
    if log is None:
        return -1, _NO_TOPIC
    if "delete" not in broker.configs[topic].get("cleanup.policy", "delete"):
        return -1, errors.PolicyViolationError.errno
    if offset > log.end:
        return -1, errors.OffsetOutOfRangeError.errno
    log.delete_before(log.end if offset < 0 else offset)
    return log.start, 0


def _describe_configs(broker: "Broker", request: Any) -> Any:
    answers: list[Any] = []
    for kind, name, _ in request.resources:
        if name not in broker.topics:
            answers.append((_NO_TOPIC, "", kind, name, []))
            continue
        own = broker.configs[name]
        entries: list[Any] = [
            (key, value, False, _OF_THE_TOPIC if key in own else _DEFAULT, False, [])
            for key, value in (_DEFAULTS | own).items()
        ]
        answers.append((0, None, kind, name, entries))
    return request.RESPONSE_TYPE(0, answers)


def _alter_configs(broker: "Broker", request: Any) -> Any:
    done = []
    for kind, name, entries in request.resources:
        if name in broker.topics:
            broker.configs[name] = dict(entries)
        done.append((0 if name in broker.topics else _NO_TOPIC, None, kind, name))
    return request.RESPONSE_TYPE(0, done)


ADMIN: dict[int, Callable[["Broker", Any], Any]] = {
    15: _describe_groups,
    16: _list_groups,
    19: _create_topics,
    21: _delete_records,
    32: _describe_configs,
    33: _alter_configs,
    37: _create_partitions,
}
"""By API key."""
