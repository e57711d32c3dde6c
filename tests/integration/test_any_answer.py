"""Whatever an HTTP answer holds, in its head or its body, the client has one of its outcomes, and no traceback."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.risk.attempts import Unguarded
from creditstream.risk.client import OnCall, RiskClient
from creditstream.risk.connection import Answer, Connection
from creditstream.risk.http import HttpClient
from creditstream.risk.messages import MAX_ANSWER_BYTES
from devtools.fakes import an_order

GOOD = b'{"score":712,"reasons":["payment_history"],"model_version":"m"}'
_NUMBER, _OVER_SOCKETS = 5_000, 300
#: An answer that is not over by then is stuck; every one ends with its connection.
_PATIENCE = 20.0


class Once(Unguarded):
    """No attempt but the first."""

    def may_repeat(self, ticket: int) -> bool:
        return False


class Wire(asyncio.Transport):
    """Says its bytes, by the piece, as soon as it is asked; then hangs up, unless the client did so before."""

    def __init__(self, connection: Connection, pieces: list[bytes]) -> None:
        super().__init__()
        self._connection, self._pieces, self._loop = connection, pieces, asyncio.get_running_loop()
        self._lost = False
        connection.connection_made(self)

    def write(self, data: Any) -> None:
        for piece in self._pieces:
            self._loop.call_soon(self._say, piece)
        self._loop.call_soon(self._hang_up)

    def _say(self, piece: bytes) -> None:
        if not self._lost:
            self._connection.data_received(piece)

    def _hang_up(self) -> None:
        if not self._lost:
            self._lost = True
            self._connection.connection_lost(None)

    def abort(self) -> None:
        self._loop.call_soon(self._hang_up)


class Told(HttpClient):
    """The real client over such wires."""

    pieces: list[bytes]

    async def _connected(self, ends: float) -> Connection:
        connection = Connection(MAX_ANSWER_BYTES)
        Wire(connection, self.pieces)
        self._open.add(connection)
        return connection

    async def post(self, body: bytes, headers: dict[str, str], limit: float) -> Answer:
        try:
            return await super().post(body, headers, limit)
        finally:
            assert len(self._open) <= 1
            await self.close()


def a_client(http: HttpClient, on_call: OnCall) -> RiskClient:
    return RiskClient(http, deadline=_PATIENCE, attempt_timeout=_PATIENCE, guard=Once(), on_call=on_call)


async def outcome_of(client: RiskClient) -> str:
    """Any other exception fails the test."""
    try:
        found = await client.assess(an_order())
    except RiskRefused:
        return "refused"
    except RiskUnusable as error:
        assert json.dumps([error.reasons, error.model_version]).encode() is not None
        return "unusable"
    except RiskUnavailable as error:
        assert 0 <= error.retry_after < float("inf")
        return "unavailable"
    assert 0 <= found.score <= 1000
    assert "\0" not in "".join((*found.reasons, found.model_version)).encode().decode()
    return "scored"


MEANS = {"scored": {"scored"}, "refused": {"refused"}, "unusable": {"unusable"}}
MAY_PASS = {"throttled", "unavailable", "bad_answer", "broken"}


class Loop:
    """One event loop for all examples; an error that only the loop hears of is kept."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: self.heard.append(context))
        self.heard: list[dict[str, Any]] = []

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        found = self._loop.run_until_complete(asyncio.wait_for(coroutine, 2 * _PATIENCE))
        assert not self.heard, self.heard
        return found

    def close(self) -> None:
        self._loop.close()


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


line = st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))
retry_afters = st.one_of(
    line,
    st.from_regex(rb"[+-]?[0-9_]{1,400}(\.[0-9]{1,9})?(e[+-]?[0-9]{1,5})?", fullmatch=True),
    st.from_regex(
        rb"[A-Z][a-z]{2}, [0-9]{1,3} (Jan|Feb|Foo) [0-9]{1,25} [0-9]{1,12}:[0-9]{2}(:[0-9]{2})? (GMT|[+-][0-9]{4,9})",
        fullmatch=True,
    ),
    st.sampled_from([b"nan", b"1e999", b"-inf", b"", b" ", b"Mon, 31 Dec 9999 23:59:59 -2359", b"\xff\xfe"]),
)
names = st.sampled_from(
    [
        b"Content-Length",
        b"Transfer-Encoding",
        b"Content-Encoding",
        b"Connection",
        b"Upgrade",
        b"Trailer",
        b"X",
        b"",
        b"\xff",
    ]
)
values = st.one_of(
    line,
    st.sampled_from([b"chunked", b"gzip", b"identity", b"gzip, chunked", b"close", b"keep-alive", b"upgrade", b"h2c"]),
    st.integers(-1, 10**30).map(lambda number: str(number).encode()),
)
plain = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20).map(
    lambda text: text.encode("latin-1")
)
header = st.one_of(
    *[
        st.tuples(st.sampled_from([b"Retry-After", b"Server", b"Content-Encoding", b"Date"]), plain | retry_afters).map(
            lambda pair: b"%b: %b\r\n" % pair
        )
    ]
    * 20,
    st.tuples(names, values).map(lambda pair: b"%b: %b\r\n" % pair),
    retry_afters.map(lambda value: b"Retry-After: %b\r\n" % value),
    line.map(lambda raw: raw + b"\r\n"),
)
scores = st.one_of(
    st.integers(-2, 1002), st.integers(), st.none(), st.booleans(), st.floats(), st.text(max_size=5), st.just([712])
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "score": scores,
        "reasons": st.lists(st.text(max_size=5), max_size=3) | st.none() | st.text(max_size=3),
        "model_version": st.text(max_size=5) | st.none(),
        "order_id": st.none() | st.uuids().map(str) | st.text(max_size=3),
        "customer_id": st.sampled_from([None, "c-102", "c-1", 102]),
        "new": st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    },
).map(lambda value: json.dumps(value).encode())
bodies = st.one_of(
    st.just(GOOD),
    fields,
    st.tuples(fields, fields).map(lambda two: two[0][:-1] + b"," + two[1][1:]),
    st.lists(fields, max_size=2).map(lambda many: b"[" + b",".join(many) + b"]"),
    st.binary(max_size=60),
)
statuses = st.one_of(
    *[st.just(b"200")] * 4,
    *[st.integers(200, 599).map(lambda number: b"%d" % number)] * 2,
    st.sampled_from([b"400", b"404", b"422", b"429", b"503"]),
    st.integers(0, 999).map(lambda number: b"%03d" % number),
    line,
)
versions = st.sampled_from([*[b"HTTP/1.1"] * 8, b"HTTP/1.0", b"HTTP/1.0", b"HTTP/2", b"HTTP/0.9", b"ICY", b"http/1.1"])


@st.composite
def heads(draw: Callable[[Any], Any]) -> bytes:
    return b"%b %b %b\r\n" % (draw(versions), draw(statuses), draw(plain)) + b"".join(
        draw(st.lists(header, max_size=2))
    )


@st.composite
def answers(draw: Callable[[Any], Any]) -> bytes:
    """A whole answer: framed as it should be, or as it should not."""
    head: bytes = draw(heads())
    body: bytes = draw(bodies)
    framing = draw(st.sampled_from(["length", "length", "length", "chunks", "none", "short", "early"]))
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if framing == "short":
        return head + b"Content-Length: %d\r\n\r\n" % (len(body) + 3) + body
    if framing == "early":
        return b"HTTP/1.1 %d Wait\r\n\r\n" % draw(st.sampled_from([100, 102, 103, 101])) + head + b"\r\n" + body
    if framing == "none":
        return head + b"\r\n" + body
    extension, trailer = draw(st.sampled_from([b"", b"a=b", b"\xff"])), draw(header)
    chunks = b"%x;%b\r\n%b\r\n0\r\n%b\r\n" % (len(body), extension, body, trailer)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


def pieces_of(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % (len(raw) + 1) for cut in cuts}), len(raw)]
    return [raw[start:end] for start, end in pairwise(places)]


whole = st.one_of(answers(), answers(), answers(), st.binary(max_size=200))
cuts = st.lists(st.integers(0, 400), max_size=3)
_FAST = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@settings(_FAST, max_examples=_NUMBER)
@given(whole, cuts)
@example(
    b"HTTP/1.1 503 X\r\nRetry-After: Mon, 01 Jan 99999999999999999999 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n", []
)
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"score":712}', [])
def test_any_answer_has_an_outcome(loop: Loop, raw: bytes, cuts: list[int]) -> None:
    outcomes: list[str] = []
    http = Told("http://api.test", {}, max_body=MAX_ANSWER_BYTES)
    http.pieces = pieces_of(raw, cuts)
    client = a_client(http, lambda outcome, seconds: outcomes.append(outcome))
    outcome = loop.run(outcome_of(client))
    assert len(outcomes) == 1 and set(outcomes) <= MEANS.get(outcome, MAY_PASS), (outcome, outcomes)


async def _over_sockets(answers_of: list[bytes]) -> list[str]:
    """Through a real server and real connections, kept as long as they last."""
    told = iter(answers_of)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(told))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = cast(tuple[str, int], server.sockets[0].getsockname()[:2])
    http = HttpClient(f"http://{host}:{port}/", {}, max_body=MAX_ANSWER_BYTES)
    try:
        return [await outcome_of(a_client(http, lambda outcome, seconds: None)) for _ in answers_of]
    finally:
        await http.close()
        server.close()


@settings(_FAST, max_examples=_OVER_SOCKETS // 10)
@given(st.lists(answers(), min_size=10, max_size=10))
def test_so_it_is_over_sockets(loop: Loop, caplog: pytest.LogCaptureFixture, raws: list[bytes]) -> None:
    with caplog.at_level(logging.WARNING, "asyncio"):
        assert len(loop.run(_over_sockets(raws))) == len(raws)
    assert not caplog.records
