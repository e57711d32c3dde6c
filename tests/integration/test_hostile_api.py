"""A hostile risk API over real sockets: every answer has its outcome, in bounded time and bounded memory."""

import asyncio
import gzip
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from creditstream.config.settings import Settings
from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.risk.attempts import Backoff
from creditstream.risk.client import RiskClient
from creditstream.risk.guarded import GuardedRisk
from creditstream.risk.messages import MAX_ANSWER_BYTES
from devtools.fakes import an_order

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

GOOD = b'{"score":712,"reasons":["payment_history"],"model_version":"m"}'
#: Seconds for an order; an order that is not over after `_FAR_BEYOND` is stuck.
_DEADLINE = 0.6
_ATTEMPT = 0.3
_FAR_BEYOND = 20.0
_NO_WAIT = Backoff(0.001, 0.0, 0.001)
#: What kernel and client buffer of an answer that nobody reads to its end.
_BUFFERED = 32 * 1024 * 1024


class Hostile:
    """A server that reads a request and then behaves badly. `requests` and `sent` bytes are counted."""

    def __init__(self, behave: Behave) -> None:
        self._behave = behave
        self.requests = self.sent = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.requests += 1
                await self._behave(reader, writer)
                if writer.is_closing():
                    break
        with suppress(OSError):
            writer.close()

    async def pour(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        """For ever, or until the client hangs up."""
        while True:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)


@asynccontextmanager
async def hostile(server: Hostile) -> AsyncIterator[str]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def settings_for(url: str, **changes: object) -> Settings:
    usual = {"risk_url": url, "risk_deadline": _DEADLINE, "risk_attempt_timeout": _ATTEMPT}
    return Settings(**{**usual, **changes})  # type: ignore[arg-type]


async def outcome_of(client: RiskClient | GuardedRisk) -> str:
    """One order's outcome; an order that is stuck, or an error of another class, fails the test."""
    async with asyncio.timeout(_FAR_BEYOND):
        try:
            return str((await client.assess(an_order())).score)
        except RiskRefused:
            return "refused"
        except RiskUnusable:
            return "unusable"
        except RiskUnavailable:
            return "unavailable"


def judged(server: Hostile, **changes: object) -> tuple[str, Counter[str]]:
    """The outcome of one order, and of its attempts."""
    attempts: Counter[str] = Counter()

    async def test() -> str:
        async with hostile(server) as url:
            client = await RiskClient.open(
                settings_for(url, **changes),
                backoff=_NO_WAIT,
                on_call=lambda outcome, seconds: attempts.update([outcome]),
            )
            try:
                return await outcome_of(client)
            finally:
                await client.close()

    return asyncio.run(test()), attempts


def says(answer: bytes, *, then_close: bool = False, then_reset: bool = False) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if then_reset:
            writer.transport.abort()
        elif then_close:
            writer.close()

    return behave


def answer(status: int, body: bytes = GOOD, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_every_status_code_has_its_outcome() -> None:
    """One server for each, all at once: 1xx are no answer, and none of them ends the waiting."""

    async def one(status: int) -> str:
        body = b"" if status in (204, 304) or status < 200 else GOOD
        # 1xx are waited out; the others are answered, however long all at once may take, and most are asked again.
        patience = _DEADLINE if status < 200 else _FAR_BEYOND / (2 if status in expected else 10)
        async with hostile(Hostile(says(answer(status, body)))) as url:
            settings = settings_for(url, risk_deadline=patience, risk_attempt_timeout=patience)
            client = await RiskClient.open(settings, backoff=Backoff(patience, 0, patience))
            try:
                return await outcome_of(client)
            finally:
                await client.close()

    async def test() -> dict[int, str]:
        found: dict[int, str] = {}
        for statuses in (range(first, first + 100) for first in range(100, 600, 100)):
            found |= dict(zip(statuses, await asyncio.gather(*map(one, statuses)), strict=True))
        return found

    expected = {200: "712", 400: "refused", 404: "refused", 422: "refused"}
    found = asyncio.run(test())
    assert found == {status: expected.get(status, "unavailable") for status in range(100, 600)}


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing at all": (b"", "broken"),
    "half a status line": (b"HTTP/1.", "broken"),
    "not http": (b"\x16\x03\x01\x02\x00\x01\x00" * 20 + b"\r\n\r\n", "broken"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "broken"),
    "half a body": (answer(200)[:-9], "broken"),
    "length too large": (answer(200).replace(b": 63", b": 630"), "broken"),
    "length too small": (answer(200).replace(b": 63", b": 6"), "broken"),
    "negative length": (answer(200).replace(b": 63", b": -63"), "broken"),
    "length that is none": (answer(200).replace(b": 63", b": many"), "broken"),
    "two lengths": (answer(200, GOOD, "Content-Length: 7"), "broken"),
    "huge head": (b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 1_000_000 + b"\r\n\r\n", "broken"),
    "broken chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "broken"),
    "half a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3f\r\n" + GOOD[:30], "broken"),
    "empty body": (answer(200, b""), "bad_answer"),
    "sign-in page": (answer(200, b"<html>Sign in</html>", "Content-Type: text/html"), "bad_answer"),
    "not utf-8": (answer(200, GOOD.replace(b"pay", b"\xff\xfe\x00")), "bad_answer"),
    "too deep": (answer(200, b"[" * 30_000), "bad_answer"),
    "score that is no number": (answer(200, GOOD.replace(b"712", b"NaN")), "bad_answer"),
    "gzip bomb": (answer(200, gzip.compress(b"x" * 50_000_000, 1), "Content-Encoding: gzip"), "bad_answer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_may_pass(name: str) -> None:
    said, outcome = WRONG[name]
    result, attempts = judged(Hostile(says(said, then_close=True)))
    assert result == "unavailable"
    assert set(attempts) <= {outcome, "timeout"} and attempts[outcome] >= 1


UNUSABLE: dict[str, bytes] = {
    "no file": GOOD.replace(b"712", b"null"),
    "score too large": GOOD.replace(b"712", b"1001"),
    "score below zero": GOOD.replace(b"712", b"-1"),
    "score as text": GOOD.replace(b"712", b'"712"'),
    "two scores": GOOD.replace(b"712", b'712,"score":100'),
    "another order's": GOOD.replace(b"{", b'{"order_id":"00000000-0000-4000-8000-000000000000",'),
    "several": b"[" + GOOD + b"," + GOOD + b"]",
    "in chunks": GOOD.replace(b"712", b"null"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_json_without_a_usable_score_is_an_outcome_and_not_asked_again(name: str) -> None:
    said = answer(200, UNUSABLE[name])
    if name == "in chunks":
        said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%b\r\n0\r\nRetry-After: 9\r\n\r\n"
        said %= (len(UNUSABLE[name]), UNUSABLE[name])
    assert judged(Hostile(says(said))) == ("unusable", Counter(["unusable"]))


async def _a_step_behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """From a connection's second request on, the answer is that to the one before, as after an answer sent twice."""
    told = b""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            own = head.partition(b"Idempotency-Key: ")[2].split(b"\r\n")[0]
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
            writer.write(answer(200, GOOD.replace(b"{", b'{"order_id":"%b",' % (told or own))))
            told = own
    writer.close()


def test_a_connection_that_gave_anothers_answer_gives_no_more() -> None:
    async def test() -> list[str]:
        listening = await asyncio.start_server(_a_step_behind, "127.0.0.1", 0)
        client = await RiskClient.open(settings_for(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"))
        try:
            return [await outcome_of(client) for _ in range(4)]
        finally:
            await client.close()
            listening.close()

    assert asyncio.run(test()) == ["712", "unusable", "712", "unusable"]


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", answer(200)[:-9]], ids=["before", "within", "body"])
def test_resets_may_pass(said: bytes) -> None:
    result, attempts = judged(Hostile(says(said, then_reset=True)))
    assert result == "unavailable"
    assert set(attempts) <= {"broken", "timeout"}


def test_a_reset_after_the_body_does_no_harm() -> None:
    assert judged(Hostile(says(answer(200), then_reset=True)))[0] in ("712", "unavailable")
    assert judged(Hostile(says(answer(200), then_close=True)))[0] == "712"


def test_a_hang_ends_at_the_deadline() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    result, attempts = judged(Hostile(hang))
    assert (result, set(attempts)) == ("unavailable", {"timeout"})
    assert 1 <= attempts.total() <= _DEADLINE / _ATTEMPT + 1


@pytest.mark.parametrize("head", [b"", answer(200)[: -len(GOOD)]], ids=["head", "body"])
def test_a_slow_loris_ends_at_the_deadline(head: bytes) -> None:
    """A byte now and then: each keeps a time-out between reads from ever being reached."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for byte in itertools.cycle(answer(200) if not head else b" "):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    result, attempts = judged(Hostile(drip))
    assert (result, set(attempts)) == ("unavailable", {"timeout"})


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Endless: ",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
    ],
)
def test_an_endless_answer_is_cut_off(head: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await server.pour(writer, b"x" * MAX_ANSWER_BYTES)

    server = Hostile(endless)
    result, attempts = judged(server)
    assert result == "unavailable"
    assert set(attempts) - {"timeout"}, "it is the size that ends it, long before the time"
    assert server.sent / max(1, server.requests) < _BUFFERED


def test_redirects_are_not_followed() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(307, b"", "Location: /v1/assessments"))
        await writer.drain()

    server = Hostile(redirect)
    result, attempts = judged(server)
    assert result == "unavailable"
    assert server.requests <= attempts.total()


def _at(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("3600", 3600),
        (_at(datetime.now(UTC) + timedelta(hours=1)), 3600),
        (_at(datetime(9999, 12, 31, tzinfo=UTC)), 2e11),
        ("1e300", 1e300),
    ],
    ids=["seconds", "a moment", "a far moment", "seconds without end"],
)
def test_more_patience_than_the_deadline_allows_is_passed_on(value: str, told: float) -> None:
    """Clocks that jump among them: a date far ahead is not waited for here; the retry topic's rule bounds it."""

    async def test() -> None:
        async with hostile(server) as url:
            client = await RiskClient.open(settings_for(url), backoff=_NO_WAIT)
            with pytest.raises(RiskUnavailable) as failure:
                await client.assess(an_order())
            await client.close()
            assert failure.value.attempts == server.requests == 1
            assert failure.value.retry_after == pytest.approx(told, rel=0.5)

    server = Hostile(says(answer(503, b"", f"Retry-After: {value}")))
    asyncio.run(test())


#: Its year is no number that Python's calendar takes: OverflowError, not ValueError.
_CENTURY = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"


@pytest.mark.parametrize(
    "value", ["-1", "soon", "", "nan", "inf", "Mon, 01 Jan 1990 00:00:00 GMT", "9" * 5_000, _CENTURY]
)
def test_patience_that_makes_no_sense_is_none(value: str) -> None:
    result, attempts = judged(Hostile(says(answer(503, b"", f"Retry-After: {value}"))))
    assert result == "unavailable"
    assert attempts.total() >= 1


def test_half_of_all_calls_fail_and_there_is_no_storm() -> None:
    """With all guards: repeats stay a share of the orders, and every order has an outcome."""
    turn = itertools.count()

    async def coin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200) if next(turn) % 2 else answer(500))
        await writer.drain()

    async def test() -> Counter[str]:
        async with hostile(server) as url:
            settings = settings_for(url, risk_deadline=5, risk_breaker_pause=0.01, risk_breaker_window=1)
            risk = await GuardedRisk.open(settings, backoff=_NO_WAIT)
            outcomes = await asyncio.gather(*(outcome_of(risk) for _ in range(_ORDERS)))
            assert (risk.gate.limiter.in_flight, risk.gate.waiting) == (0, 0)
            await risk.close()
            return Counter(outcomes)

    server = Hostile(coin)
    outcomes = asyncio.run(test())
    assert set(outcomes) == {"712", "unavailable"}
    assert server.requests <= 1.2 * _ORDERS + _FREE
    assert outcomes["712"] >= 0.4 * _ORDERS


_ORDERS = 1_000
#: Ten repeats are free in ten seconds; on a slow machine the test takes longer than ten.
_FREE = 20
