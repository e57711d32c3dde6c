"""The local stack: real Kafka, PostgreSQL with a read replica, Redis and the simulated risk API, without containers."""

from creditstream.dev.stack.errors import StackError
from creditstream.dev.stack.ports import Ports
from creditstream.dev.stack.stack import Stack

__all__ = ["Ports", "Stack", "StackError"]
