"""Connections between aiokafka's clients and the model of Kafka: requests and answers as objects, late, lost, cut."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import KafkaConnectionError
from aiokafka.util import wait_for

from tests.simulation.clocks import WORKER
from tests.simulation.kafka.versions import VERSIONS

Reply = Callable[[Any], None]


class Server(Protocol):
    """What stands at the other end."""

    @property
    def is_up(self) -> bool: ...

    def handle(self, request: Any, reply: Reply) -> None:
        """Answer a request, now or later, once or never."""
        ...


class Weather(NamedTuple):
    """How the network is: seconds from one end to the other, and how often a request or an answer is cut off."""

    fastest: float = 0.000_2
    slowest: float = 0.002
    lost_requests: float = 0.0
    lost_answers: float = 0.0
    late: float = 0.0
    latest: float = 0.0


class Network:
    """All connections of a world. `weather` may be changed at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: random.Random, server: Server) -> None:
        self.loop, self.chance, self.server = loop, chance, server
        self.weather = Weather()
        self.connections: list[Connection] = []
        self._world = Context()
        self._next: tuple[str, str] | None = None

    def lose_next(self, what: str, client_id: str) -> None:
        """The next "request" or "answer" of that client, and its connection."""
        self._next = (what, client_id)

    def loses(self, what: str, client_id: str) -> bool:
        """Whether this one is lost."""
        if self._next == (what, client_id):
            self._next = None
            return True
        share = self.weather.lost_requests if what == "request" else self.weather.lost_answers
        return bool(share) and self.chance.random() < share

    async def connect(self, host: str, port: int, **options: Any) -> "Connection":
        """In place of `aiokafka.conn.create_conn`. Raises OSError."""
        await asyncio.sleep(self.delay())
        if not self.server.is_up:
            raise ConnectionRefusedError("connection refused")
        connection = Connection(self, host, port, options)
        self.connections.append(connection)
        return connection

    def delay(self) -> float:
        weather = self.weather
        if weather.late and self.chance.random() < weather.late:
            return self.chance.uniform(weather.slowest, weather.latest)
        return self.chance.uniform(weather.fastest, weather.slowest)

    def later(self, at: float, call: Callable[..., None], *args: Any) -> None:
        """In the world, not in whoever sends: what is on its way arrives, whatever becomes of the sender."""
        self.loop.call_at(at, call, *args, context=self._world)

    def forget(self, connections: "list[Connection]") -> None:
        """Their clients are gone: nothing that is answered reaches anybody."""
        self.connections = [each for each in self.connections if each not in connections]

    def cut_all(self, of: Callable[["Connection"], bool] = lambda _each: True) -> None:
        """What a server's end does, or a firewall's."""
        gone = [each for each in self.connections if of(each)]
        self.connections = [each for each in self.connections if not of(each)]
        for connection in gone:
            connection.break_off()


class Connection:
    """In place of `aiokafka.conn.AIOKafkaConnection`."""

    def __init__(self, network: Network, host: str, port: int, options: dict[str, Any]) -> None:
        self.host, self.port, self._network = host, port, network
        self._client_id = options.get("client_id", "")
        #: Whose process it belongs to.
        self.life = WORKER.get()
        self._within = options["request_timeout_ms"] / 1000
        self._on_close = options.get("on_close")
        self._versions = VERSIONS
        self._asked: list[asyncio.Future[Any]] = []
        self._is_open = True
        #: The server's side: it answers one request after the other.
        self._queue: deque[tuple[Any, asyncio.Future[Any] | None]] = deque()
        self._is_busy = False
        self._arrives = self._answers = 0.0

    # -- the client's side

    def connected(self) -> bool:
        return self._is_open

    def send(self, request: Any, expect_response: bool = True) -> Any:
        if not self._is_open:
            raise KafkaConnectionError(f"no connection to {self.host}:{self.port}")
        network = self._network
        answer = network.loop.create_future()
        if expect_response:
            self._asked.append(answer)
        self._arrives = max(self._arrives, network.loop.time() + network.delay())
        network.later(self._arrives, self._arrive, request.prepare(VERSIONS), answer if expect_response else None)
        if not expect_response:
            answer.set_result(None)
            return answer
        return wait_for(answer, self._within)

    def close(self, reason: Any = None, exc: BaseException | None = None) -> "asyncio.Future[None]":
        done = self._network.loop.create_future()
        done.set_result(None)
        if self._is_open:
            self._is_open = False
            if self in self._network.connections:
                self._network.connections.remove(self)
            asked, self._asked = self._asked, []
            for answer in asked:
                if not answer.done():
                    answer.set_exception(KafkaConnectionError(f"connection to {self.host}:{self.port} closed"))
            on_close, self._on_close = self._on_close, None
            if on_close is not None:
                on_close(self, reason)
        return done

    def break_off(self) -> None:
        """Both ends hear of it."""
        from aiokafka.conn import CloseReason

        self._queue.clear()
        self.close(CloseReason.CONNECTION_BROKEN)

    # -- the server's side

    def _arrive(self, request: Any, answer: "asyncio.Future[Any] | None") -> None:
        if self._loses("request"):
            return
        self._queue.append((request, answer))
        if not self._is_busy:
            self._next()

    def _loses(self, what: str) -> bool:
        if self._network.loses(what, self._client_id):
            self.break_off()
            return True
        return False

    def _next(self) -> None:
        if not self._queue:
            self._is_busy = False
            return
        self._is_busy = True
        request, answer = self._queue.popleft()
        replied = False

        def reply(response: Any) -> None:
            nonlocal replied
            if replied:
                return
            replied = True
            if answer is not None and not self._loses("answer"):
                self._answers = max(self._answers, self._network.loop.time() + self._network.delay())
                self._network.later(self._answers, self._take, answer, response)
            self._next()

        self._network.server.handle(request, reply)
        if answer is None:
            reply(None)

    def _take(self, answer: "asyncio.Future[Any]", response: Any) -> None:
        if answer in self._asked:
            self._asked.remove(answer)
        if not answer.done():
            answer.set_result(response)
