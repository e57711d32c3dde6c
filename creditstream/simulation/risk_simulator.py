"""What the simulated risk API answers: state and rules, without a network."""

import hashlib
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from uuid import UUID

import msgspec

from creditstream.simulation.mix import NO_FILE
from creditstream.simulation.risk_answers import NO_FILE_ANSWER, STRANGE, Mode, error_answer
from creditstream.simulation.risk_control import Control, Request, Script, decode_control, decode_request
from creditstream.simulation.risk_http import Answer
from creditstream.simulation.slots import Slots

MODEL_VERSION = "simulated-1"
_SCORES = 1001
#: Calls of one key that the full journal holds, the first ones: what comes after is counted only.
_CALLS_KEPT = 50
#: Between the scores of one key's calls, with `rescore`; prime, so that they come round after all other scores.
_RESCORE_STEP = 337
#: Longer than the second after which an order shows as under review, shorter than an attempt's time-out.
SLOW = 2.0


class _Known(msgspec.Struct, gc=False):
    """What is remembered of one Idempotency-Key. `score`: of the last call; `kept`: when calls came, status, score."""

    body: int
    calls: int = 0
    scored: int = 0
    score: int | None = None
    model_version: str = ""
    kept: list[tuple[float, int, int | None]] = []


_encode = msgspec.json.Encoder().encode


def score_for(order_id: UUID) -> int:
    """0 to 1000, spread evenly, always the same for an id."""
    return int.from_bytes(hashlib.sha256(order_id.bytes).digest()[:4]) % _SCORES


class Simulator:
    """The API's state and answers. `keep`: how many calls `received` holds, newest last."""

    def __init__(
        self,
        *,
        latency_ms: float = 0.0,
        error_rate: float = 0.0,
        seed: int = 7,
        keep: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._start, self._now = (latency_ms, error_rate, seed), now
        self.received: deque[tuple[str, bytes]] = deque(maxlen=keep)
        self._reset()

    def _reset(self) -> None:
        latency_ms, self._error_rate, seed = self._start
        self._latency, self._random = latency_ms / 1000, random.Random(seed)
        self._mode: Mode = "ok"
        self._rescore = False
        self._slots = Slots()
        self._model_version = MODEL_VERSION
        self._next: deque[Script] = deque()
        self._scripts: dict[UUID, deque[Script]] = {}
        self._known: dict[str, _Known] = {}
        self._statuses: Counter[int] = Counter()
        self._changed_bodies = 0
        self.received.clear()

    def handle(self, method: str, path: str, key: str, body: bytes) -> Answer:
        """The answer to any request."""
        match method, path:
            case "POST", "/v1/assessments":
                return self._assess(key, body)
            case "POST", "/control":
                return self._take_control(body)
            case "GET", "/journal":
                return Answer(200, _encode(self.journal()))
            case "GET", "/journal?full=1":
                return Answer(200, _encode(self.calls()))
            case "GET", "/health":
                return Answer(200, b'{"status":"ok"}')
        return error_answer(404, "no such resource")

    def journal(self) -> dict[str, object]:
        """Counts since the start or the last reset. Status 0: the caller was left without an answer."""
        calls = [known.calls for known in self._known.values()]
        return {
            "calls": self._statuses.total(),
            "keys": len(calls),
            "max_calls_per_key": max(calls, default=0),
            "changed_bodies": self._changed_bodies,
            "statuses": dict(sorted(self._statuses.items())),
        }

    def calls(self) -> dict[str, list[tuple[float, int, int | None]]]:
        """By key, its first calls: seconds since 1970, status, the score that was given (None: none was)."""
        return {key: known.kept for key, known in self._known.items()}

    def control(self, control: Control) -> None:
        """Change what is given."""
        if control.reset:
            self._reset()
        if control.latency_ms is not None:
            self._latency = control.latency_ms / 1000
        if control.error_rate is not None:
            self._error_rate = control.error_rate
        self._mode = control.mode or self._mode
        self._model_version = control.model_version or self._model_version
        self._rescore = self._rescore if control.rescore is None else control.rescore
        if control.capacity is not None:
            self._slots.resize(control.capacity)
        self._next.extend(control.next)
        for order_id, scripts in control.orders.items():
            self._scripts.setdefault(order_id, deque()).extend(scripts)

    def _take_control(self, body: bytes) -> Answer:
        try:
            self.control(decode_control(body))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return error_answer(400, str(error))
        return Answer(200, b"{}")

    def _assess(self, key: str, body: bytes) -> Answer:
        if self.received.maxlen:
            self.received.append((key, body))
        known = self._remember(key, body)
        known.score = None
        answer = self._judge(key, body, known)
        status = answer.status if answer.wait is not None and not answer.drop else 0
        self._statuses[status] += 1
        if len(known.kept) < _CALLS_KEPT:
            known.kept.append((self._now(), status, known.score))
        return answer

    def _judge(self, key: str, body: bytes, known: _Known) -> Answer:
        try:
            request = decode_request(body)
        except msgspec.ValidationError as error:
            return error_answer(422, str(error))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return error_answer(400, "the body is not JSON")
        if not key:
            return error_answer(400, "the header Idempotency-Key is missing")
        if not (request.amount.is_finite() and request.amount > 0):
            return error_answer(422, "amount must be above zero")
        return self._failure(request) or self._score(request, known)

    def _remember(self, key: str, body: bytes) -> _Known:
        fingerprint = hash(body)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(fingerprint)
        known.calls += 1
        self._changed_bodies += known.body != fingerprint
        return known

    def _failure(self, request: Request) -> Answer | None:
        scripts = self._scripts.get(request.order_id) or self._next
        if scripts:
            script = scripts.popleft()
            if script.status != 200:
                return error_answer(script.status, "scripted")._replace(retry_after=script.retry_after)
            return STRANGE.get(script.mode)
        if self._error_rate and self._random.random() < self._error_rate:
            return error_answer(503, "by error rate")
        if request.customer_id.startswith("refuse-"):
            return error_answer(422, "this customer is refused")
        if request.customer_id.startswith("down-"):
            return error_answer(503, "this customer's bureau is down")
        if request.customer_id.startswith(NO_FILE):
            return NO_FILE_ANSWER
        return STRANGE.get(self._mode)

    def _score(self, request: Request, known: _Known) -> Answer:
        known.model_version = known.model_version or self._model_version
        score = (score_for(request.order_id) + (_RESCORE_STEP * known.scored if self._rescore else 0)) % _SCORES
        known.score = score
        known.scored += 1
        reasons = ["payment_history"] if score >= 500 else ["payment_history", "debt_to_income"]
        body = _encode({"score": score, "reasons": reasons, "model_version": known.model_version})
        if request.customer_id.startswith("slow-"):
            return Answer(200, body, wait=max(self._latency, SLOW))
        return Answer(200, body, wait=self._slots.take(self._now(), self._latency))
