"""aiokafka on uvloop: a request on a connection that has just been lost is that connection's error, no other.

asyncio takes such a write and says nothing; uvloop raises RuntimeError, which aiokafka 0.14 does not expect (its issue
1038). Whoever wanted to send ends with it: the coordinator, or the task that keeps the client's metadata, and without
that task every later request of the client waits for ever (docs/adr/0015, upstream/lost-connection).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError


def mend_lost_connections() -> None:
    """For every aiokafka client of this process, whenever it was made."""
    for name in ("send", "_send_sasl_token"):
        send = getattr(AIOKafkaConnection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _closing(send))


def _closing(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def closing(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send(self, *args, **kwargs)
        except KafkaError:  # RuntimeErrors too, and expected
            raise
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} lost: {error}") from error

    return closing
