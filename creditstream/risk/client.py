"""The risk API over HTTP: one deadline for all attempts of an order, retries by stamina and by nothing else."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, Self

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.config.tls import client_context, refusal
from creditstream.errors import RiskRefused, RiskUnavailable, RiskUnusable
from creditstream.risk.attempts import Backoff, Course, Guard, Unguarded, attempts_of
from creditstream.risk.http import HttpClient
from creditstream.risk.messages import MAX_ANSWER_BYTES, MayPass, encode_request, read_answer
from creditstream.version import VERSION
from schemas.assessment import Assessment
from schemas.order import Order

#: Answers are not compressed: they are small, and 64 KiB of gzip can hold 64 MiB.
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"creditstream/{VERSION}",
}


def risk_context(settings: Settings) -> ssl.SSLContext:
    """Raises StartError."""
    return client_context("CREDITSTREAM_RISK_SSL", settings.risk_ssl_cafile)


OnCall = Callable[[str, float], None]


class _Question(NamedTuple):
    """About one order; the same to the byte on every attempt."""

    order: Order
    body: bytes
    headers: dict[str, str]


class RiskClient:
    """`creditstream.order.ports.Risk` over HTTP. `on_call(outcome, seconds)` is called after every attempt.

    Outcomes: scored, refused, unusable (no score for this order), throttled (429), unavailable (another status),
    bad_answer (no JSON), timeout, broken (connection), cancelled. The deadline counts calls and the waits between them,
    not what the guard makes a call wait.
    """

    def __init__(
        self,
        http: HttpClient,
        *,
        deadline: float,
        attempt_timeout: float,
        key: Secret | None = None,
        guard: Guard | None = None,
        on_call: OnCall | None = None,
        backoff: Backoff | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http, self._now = http, now
        self._deadline, self._attempt_timeout = deadline, attempt_timeout
        self._first_timeout = self._timeout(deadline)
        self._key = key or Secret()
        self._guard = guard or Unguarded()
        self._backoff = backoff or Backoff()
        self.on_call: OnCall = on_call or (lambda outcome, seconds: None)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        *,
        guard: Guard | None = None,
        on_call: OnCall | None = None,
        backoff: Backoff | None = None,
    ) -> Self:
        """Must run in the event loop that will use the client. Connects at the first call."""
        url = settings.risk_url.rstrip("/") + "/v1/assessments"
        context = risk_context(settings) if url.startswith("https:") else None
        return cls(
            HttpClient(url, _HEADERS, max_body=MAX_ANSWER_BYTES, context=context),
            deadline=settings.risk_deadline,
            attempt_timeout=settings.risk_attempt_timeout,
            key=settings.risk_api_key,
            guard=guard,
            on_call=on_call,
            backoff=backoff,
        )

    async def close(self) -> None:
        await self._http.close()

    async def assess(self, order: Order) -> Assessment:
        """See `Risk.assess`. RiskUnavailable tells the number of attempts."""
        headers = {"Idempotency-Key": str(order.order_id)}
        if secret := self._key.reveal():
            headers["Authorization"] = f"Bearer {secret}"
        question = _Question(order, encode_request(order), headers)
        ticket = await self._guard.enter()
        deadline = asyncio.get_running_loop().time() + self._deadline
        try:
            return await self._call(question, self._first_timeout, ticket)
        except MayPass as failure:
            return await self._call_again(question, Course(deadline, ticket), failure)

    async def _call_again(self, question: _Question, course: Course, failure: MayPass) -> Assessment:
        """All attempts after the first, which paid nothing for this machinery."""
        attempts, clock = attempts_of(course, self._backoff, self._guard), asyncio.get_running_loop().time
        try:
            while True:
                async with asyncio.timeout_at(course.deadline):
                    attempt = await anext(attempts)
                with attempt:
                    if attempt.num == 1:
                        raise failure
                    await self._enter_again(course)
                    try:
                        return await self._call(question, self._timeout(course.deadline - clock()), course.ticket)
                    except MayPass as error:
                        failure = error
                        raise
        except (MayPass, TimeoutError):
            message = f"{failure} (attempts: {course.made})"
            raise RiskUnavailable(message, course.made, failure.retry_after) from failure

    async def _enter_again(self, course: Course) -> None:
        clock = asyncio.get_running_loop().time
        came = clock()
        course.ticket = await self._guard.enter(again=True)
        course.deadline += clock() - came
        course.made += 1

    def _timeout(self, left: float) -> float:
        """Seconds for one attempt."""
        return max(0.001, min(self._attempt_timeout, left))

    async def _call(self, question: _Question, limit: float, ticket: int) -> Assessment:
        clock = asyncio.get_running_loop().time
        started, outcome, retry_after = clock(), "cancelled", 0.0
        try:
            assessment = await self._asked(question, limit)
            outcome = "scored"
        except RiskRefused:
            outcome = "refused"
            raise
        except RiskUnusable:
            outcome = "unusable"
            raise
        except MayPass as error:
            outcome, retry_after = error.outcome, error.retry_after
            raise
        finally:
            seconds = clock() - started
            self._guard.leave(ticket, outcome, seconds, retry_after)
            self.on_call(outcome, seconds)
        return assessment

    async def _asked(self, question: _Question, limit: float) -> Assessment:
        """Whatever can go wrong between us and the API is MayPass."""
        order, body, headers = question
        try:
            return read_answer(order, *await self._http.post(body, headers, limit), self._now())
        except RiskUnusable as error:
            if error.may_be_anothers:
                self._http.close_idle()  # one of them is a step behind, and would go on so
            raise
        except TimeoutError:
            raise MayPass("timeout", "the risk API did not answer in time") from None
        except OSError as error:
            why = refusal(error) or type(error).__name__
            raise MayPass("broken", f"the connection to the risk API broke: {why}") from error
