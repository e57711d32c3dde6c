"""All services together: started in waves, stopped in reverse, one `up` or `down` at a time."""

import fcntl
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from devtools.stack.archive import archive_file
from devtools.stack.environment import environment, write_environment
from devtools.stack.errors import StackError
from devtools.stack.jars import ensure_jars
from devtools.stack.kafka import Cluster, Kafka
from devtools.stack.ports import HOST, Ports, taken, variable
from devtools.stack.postgres import Postgres, Replica
from devtools.stack.redis import Redis
from devtools.stack.risk import RiskApi
from devtools.stack.service import Service
from devtools.stack.tools import write_tools
from devtools.stack.training import ensure_archive

#: `show(service's name, what about it, is that its last line)`
Show = Callable[[str, str, bool], None]


def show_nothing(_name: str, _text: str, _last: bool) -> None:
    """For tests."""


class Stack:
    """The services under `root`/stack, with `root`/env and `root`/bin written for their users.

    `more_kafka`: the port and the controller's port of each further Kafka node. `brief`: for a test's few minutes, they
    start in less time, take more clients, and would forget what they had in a power cut (not when they are killed).
    """

    def __init__(
        self,
        root: Path,
        ports: Ports,
        *,
        cache: Path | None = None,
        only: set[str] | None = None,
        more_kafka: Sequence[tuple[int, int]] = (),
        brief: bool = False,
    ) -> None:
        self._brief = brief
        self.root = root.absolute()
        self.ports = ports
        self._kafka_ports = [(ports.kafka, ports.kafka_controller), *more_kafka]
        self.cache = (cache or root / "cache").absolute()
        self._folder = self.root / "stack"
        services = self._all_services()
        self.services = [service for service in services if only is None or service.name in only]

    def _all_services(self) -> list[Service]:
        folder, ports = self._folder, self.ports
        cluster = Cluster.of(*(controller for _, controller in self._kafka_ports))
        return [
            *(
                Kafka(
                    folder / ("kafka" if node == 1 else f"kafka-{node}"),
                    port,
                    controller,
                    self.cache,
                    cluster,
                    brief=self._brief,
                )
                for node, (port, controller) in enumerate(self._kafka_ports, start=1)
            ),
            Postgres(folder / "postgres", ports.postgres, brief=self._brief),
            Redis(folder / "redis", ports.redis),
            RiskApi(folder / "risk", ports.risk),
            Replica(folder / "replica", ports.postgres_replica, primary_port=ports.postgres, brief=self._brief),
        ]

    @property
    def tools(self) -> Path:
        return self.root / "bin"

    def environment(self) -> dict[str, str]:
        """CREDITSTREAM_… settings that lead to this stack."""
        values = environment(self.ports, self.root / "worker")
        values["CREDITSTREAM_KAFKA_BROKERS"] = ",".join(f"{HOST}:{port}" for port, _ in self._kafka_ports)
        values["CREDITSTREAM_KAFKA_REPLICATION_FACTOR"] = str(len(self._kafka_ports))
        return values

    def up(self, show: Show = show_nothing) -> None:
        """Start what does not run and answer; what does is left alone. Raises StackError."""
        with self._alone():
            missing = [service for service in self.services if not self._left_alone(service, show)]
            self._prepare_kafka([service for service in missing if isinstance(service, Kafka)], show)
            for service in missing:
                self._check_ports(service)
            started = time.monotonic()
            first = [service for service in missing if not isinstance(service, Replica)]
            for service in first:
                service.begin(_reporter(service, show))
            for service in missing:
                if service not in first:
                    service.begin(_reporter(service, show))  # it copies the primary, which answers by now
                service.await_ready(_reporter(service, show))
                show(service.name, f"{HOST}:{service.port} ready after {time.monotonic() - started:.1f} s", True)
            self.ports.save(self._folder / "ports.json")
            if any(isinstance(service, Kafka) for service in self.services):
                jars = ensure_jars(self.cache, lambda text: None)
                write_tools(self.tools, jars, archive_file(self.cache) if self._brief else None)
            write_environment(self.root / "env", self.environment())

    def set_risk(self, **control: object) -> None:
        """Change how the simulated risk API answers: its POST /control."""
        body = msgspec.json.encode(control)
        url = f"{self.environment()['CREDITSTREAM_RISK_URL']}/control"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10):
            pass

    def down(self, show: Show = show_nothing) -> None:
        """Stop everything, the last started first. Raises StackError when a process is left."""
        with self._alone():
            for service in reversed(self.services):
                was_running = bool(service.processes())
                if was_running:
                    show(service.name, "stopping", False)
                service.stop()
                show(service.name, "stopped" if was_running else "was not running", True)

    def clean(self, show: Show = show_nothing) -> None:
        """Stop everything and remove its data; downloads stay."""
        self.down(show)
        for service in self.services:
            service.wipe()
        (self._folder / "ports.json").unlink(missing_ok=True)
        (self.root / "env").unlink(missing_ok=True)

    def status(self, show: Show) -> bool:
        """Show each service's state. True when all answer."""
        states = [(service, service.running(), service.ready()) for service in self.services]
        for service, running, ready in states:
            state = "ready" if running and ready else "does not answer" if running else "not running"
            show(service.name, f"{HOST}:{service.port} {state}", True)
        return all(running and ready for _, running, ready in states)

    def _prepare_kafka(self, nodes: list[Kafka], show: Show) -> None:
        if nodes and self._brief:
            ensure_archive(self.cache, _reporter(nodes[0], show))

    def _left_alone(self, service: Service, show: Show) -> bool:
        healthy = service.healthy()
        if healthy:
            show(service.name, f"{HOST}:{service.port} is up", True)
        return healthy

    def _check_ports(self, service: Service) -> None:
        """Of a service that will be started: its own broken or moved process does not count, it goes first."""
        if service.processes():
            service.stop()
        for field, port in service.listens_on().items():
            if taken(port):
                name = variable(field)
                raise StackError(
                    f"port {port} for {service.title} is taken by another program: "
                    f"end it, or choose another port with `make up {name}=…`"
                )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _reporter(service: Service, show: Show) -> Callable[[str], None]:
    return lambda text: show(service.name, text, False)
