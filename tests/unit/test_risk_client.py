"""One order's calls of the risk API, over answers of the test's own: what is sent, what is told, what is repeated."""

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Any, cast

import pytest

from creditstream.config.secret import Secret
from creditstream.errors import RiskUnavailable, RiskUnusable
from creditstream.risk.attempts import Backoff, Unguarded
from creditstream.risk.client import RiskClient
from creditstream.risk.connection import Answer
from creditstream.risk.http import CertificateRefused
from devtools.fakes import an_order

_GOOD = Answer(200, b'{"score":712,"reasons":["a"],"model_version":"m"}', None)
_BUSY = Answer(429, b"", "7")


class Http:
    """Answers each call with the next; `asked`: headers and time of each, `closed`: how often idle ones were closed."""

    def __init__(self, answers: Sequence[Answer | Exception]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[dict[str, str], float]] = []
        self.closed = 0

    async def post(self, _body: bytes, headers: dict[str, str], limit: float) -> Answer:
        self.asked.append((headers, limit))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close_idle(self) -> None:
        self.closed += 1


class Once(Unguarded):
    """No order has a second call. `left`: how each ended."""

    def __init__(self) -> None:
        self.left: list[tuple[int, str, float]] = []

    async def enter(self, *, again: bool = False) -> int:
        assert not again
        return 5

    def leave(self, ticket: int, outcome: str, seconds: float, retry_after: float = 0.0) -> None:
        assert 0.0 <= seconds < 60.0
        self.left.append((ticket, outcome, retry_after))

    def may_repeat(self, ticket: int) -> bool:
        return False


def asked_once(*answers: Answer | Exception, **options: Any) -> tuple[Http, Once, Any]:
    """A client, its guard, and the score or the error of one order."""
    http, guard = Http(answers), Once()

    async def ask() -> Any:
        client = RiskClient(cast(Any, http), **{"deadline": 30.0, "attempt_timeout": 10.0, "guard": guard, **options})
        try:
            return (await client.assess(an_order())).score
        except (RiskUnavailable, RiskUnusable) as error:
            return error

    return http, guard, asyncio.run(ask())


def test_the_guard_hears_how_each_call_ended_and_what_the_api_asks_for() -> None:
    for answer, left, told in (
        (_GOOD, (5, "scored", 0.0), 712),
        (_BUSY, (5, "throttled", 7.0), RiskUnavailable),
        (TimeoutError(), (5, "timeout", 0.0), RiskUnavailable),
        (ConnectionResetError(), (5, "broken", 0.0), RiskUnavailable),
    ):
        _, guard, found = asked_once(answer)
        assert guard.left == [left]
        assert found == told or type(found) is told


def test_a_failure_says_how_often_it_was_tried_and_what_the_api_asks_for() -> None:
    _, _, error = asked_once(_BUSY)
    assert (error.attempts, error.retry_after) == (1, 7.0)
    assert str(error) == "the risk API answered 429 (attempts: 1)"
    _, _, error = asked_once(ConnectionResetError())
    assert (error.attempts, error.retry_after) == (1, 0.0)
    assert "connection to the risk API broke: ConnectionResetError" in str(error)


def test_a_certificate_that_is_refused_is_named() -> None:
    cause = ssl.SSLCertVerificationError()
    cause.verify_message = "certificate has expired"
    error = CertificateRefused("risk.test")
    error.__cause__ = cause
    _, _, found = asked_once(error)
    assert "its certificate is refused: certificate has expired" in str(found)


def test_the_key_goes_along_if_there_is_one_and_the_orders_id_always() -> None:
    http, _, _ = asked_once(_GOOD)
    [(headers, _)] = http.asked
    assert list(headers) == ["Idempotency-Key"]
    http, _, _ = asked_once(_GOOD, key=Secret("s3cret"))
    [(headers, _)] = http.asked
    assert headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(("deadline", "attempt", "limit"), [(30.0, 10.0, 10.0), (3.0, 10.0, 3.0)])
def test_one_call_takes_no_longer_than_an_attempt_nor_than_the_deadline(
    deadline: float, attempt: float, limit: float
) -> None:
    http, _, _ = asked_once(_GOOD, deadline=deadline, attempt_timeout=attempt)
    [(_, found)] = http.asked
    assert found == limit


@pytest.mark.parametrize(("owner", "closed"), [("c-103", 1), ("c-102", 0)])
def test_an_answer_about_another_ends_the_connections_that_may_be_a_step_behind(owner: str, closed: int) -> None:
    http, guard, error = asked_once(Answer(200, json.dumps({"customer_id": owner}).encode(), None))
    assert isinstance(error, RiskUnusable) and guard.left == [(5, "unusable", 0.0)]
    assert http.closed == closed


@pytest.mark.filterwarnings("error:Backoff hook")
@pytest.mark.parametrize(("deadline", "guard"), [(30.0, Once()), (5.0, Unguarded())])
def test_when_time_is_up_or_the_guard_allows_no_more_an_order_is_asked_about_once(
    deadline: float, guard: Unguarded
) -> None:
    """stamina is told so in a word of its own: of any other it warns."""
    http, _, error = asked_once(_BUSY, deadline=deadline, guard=guard)
    assert (len(http.asked), error.attempts) == (1, 1)


def test_without_a_guard_and_with_nobody_who_listens_a_failed_call_is_repeated() -> None:
    async def ask() -> None:
        http = Http([TimeoutError(), _BUSY._replace(retry_after=None), _GOOD])
        client = RiskClient(cast(Any, http), deadline=30.0, attempt_timeout=10.0, backoff=Backoff(0.001, 0.0, 0.001))
        assert (await client.assess(an_order())).score == 712
        assert [headers for headers, _ in http.asked] == [http.asked[0][0]] * 3
        assert all(0.0 < limit <= 10.0 for _, limit in http.asked)

    asyncio.run(ask())
