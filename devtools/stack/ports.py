"""Which ports the stack listens on, all on 127.0.0.1: the usual ones unless `make up KAFKA_PORT=…` names others."""

import json
import os
import random
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Self

from devtools.stack.errors import StackError

HOST = "127.0.0.1"
#: Below the range from which systems hand out ports for outgoing connections (32768 on Linux).
_FREE_RANGE = range(20_000, 32_000)
_claims: list[socket.socket] = []


@dataclass(frozen=True)
class Ports:
    """A port for each listener. A field's variable is its name in capitals with `_PORT`."""

    kafka: int = 9092
    kafka_controller: int = 9093
    postgres: int = 5432
    postgres_replica: int = 5433
    redis: int = 6379
    risk: int = 8090

    @classmethod
    def free(cls) -> Self:
        """Ports that nothing listens on now, and that nobody else of ours will choose."""
        return cls(**{field.name: free_port() for field in fields(cls)})

    @classmethod
    def chosen(cls, file: Path, environ: Mapping[str, str] | None = None) -> Self:
        """The last `up`'s ports (kept in `file`), overridden by `KAFKA_PORT=…` in `environ`. Raises StackError."""
        environ = os.environ if environ is None else environ
        names = [field.name for field in fields(cls)]
        given = {
            name: _number(variable(name), environ[variable(name)]) for name in names if environ.get(variable(name))
        }
        try:
            remembered = cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            remembered = cls()
        ports = replace(remembered, **given)
        _check_distinct(ports)
        return ports

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


def free_port() -> int:
    """A port that nothing listens on now, claimed until this process ends."""
    candidates = random.sample(_FREE_RANGE, k=len(_FREE_RANGE))
    return next(port for port in candidates if not taken(port) and _claim(port))


def _claim(port: int) -> bool:
    """Whether no other process of ours has chosen it: seconds pass before a server listens there.

    A claim is the UDP port of the same number, which no server of the stack uses.
    """
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind((HOST, port))
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def variable(name: str) -> str:
    return f"{name.upper()}_PORT"


def taken(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        # As servers do: a connection in TIME_WAIT does not hold the port, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _number(name: str, text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 65_535:
        return int(text)
    raise StackError(f"{name}={text} is not a port: give a number from 1 to 65535")


def _check_distinct(ports: Ports) -> None:
    seen: dict[int, str] = {}
    for name, port in asdict(ports).items():
        if port in seen:
            raise StackError(f"{variable(seen[port])} and {variable(name)} are both {port}: give one of them another")
        seen[port] = name
