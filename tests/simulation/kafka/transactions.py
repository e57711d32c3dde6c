"""What the coordinator of transactions answers. By KIP-98: a name has one producer, whose epochs fence one another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka import errors

if TYPE_CHECKING:
    from tests.simulation.kafka.broker import Broker

_FENCED = errors.InvalidProducerEpoch.errno
_NO_SUCH_NAME = errors.InvalidProducerIdMapping.errno


@dataclass
class Transaction:
    """Of one transactional id: its producer, and where it has written since the last one ended."""

    producer: int
    epoch: int = 0
    places: set[tuple[str, int]] = field(default_factory=set)

    def end(self, broker: "Broker", *, commit: bool) -> None:
        places, self.places = sorted(self.places), set()
        for topic, partition in places:
            broker.topics[topic][partition].end_transaction(self.producer, commit=commit)
            broker.wake(topic, partition)


def _begin(broker: "Broker", request: Any) -> Any:
    """InitProducerId. A producer of the same name that was before is fenced, and what it left open is aborted."""
    name = request.transactional_id
    if name is None:
        return request.RESPONSE_TYPE(0, 0, broker.new_producer(), 0)
    known = broker.transactions.get(name)
    if known is None:
        known = broker.transactions[name] = Transaction(broker.new_producer())
    else:
        known.epoch += 1
        known.end(broker, commit=False)
    return request.RESPONSE_TYPE(0, 0, known.producer, known.epoch)


def _fence(broker: "Broker", request: Any) -> int:
    """Returns the error's code."""
    known = broker.transactions.get(request.transactional_id)
    if known is None or known.producer != request.producer_id:
        return int(_NO_SUCH_NAME)
    return int(_FENCED) if request.producer_epoch != known.epoch else 0


def _add(broker: "Broker", request: Any) -> Any:
    """AddPartitionsToTxn."""
    code = _fence(broker, request)
    if not code:
        places = {(topic, partition) for topic, partitions in request.topics for partition in partitions}
        broker.transactions[request.transactional_id].places |= places
    answers = [(topic, [(partition, code) for partition in partitions]) for topic, partitions in request.topics]
    return request.RESPONSE_TYPE(0, answers)


def _end(broker: "Broker", request: Any) -> Any:
    """EndTxn."""
    code = _fence(broker, request)
    if not code:
        broker.transactions[request.transactional_id].end(broker, commit=request.transaction_result)
    return request.RESPONSE_TYPE(0, code)


TRANSACTIONS: dict[int, Callable[["Broker", Any], Any]] = {22: _begin, 24: _add, 26: _end}
"""By API key."""
