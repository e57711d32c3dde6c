"""The local stack: real Kafka, PostgreSQL with a read replica, Redis and the simulated risk API, without containers."""

from devtools.stack.errors import StackError
from devtools.stack.ports import Ports
from devtools.stack.stack import Stack

__all__ = ["Ports", "Stack", "StackError"]
