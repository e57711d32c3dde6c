"""Fakes for tests: a store in memory, a scripted risk API, and a clock that moves when told. Nothing here waits."""

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec

from creditstream.errors import StoreTakenBack, StoreUnavailable
from creditstream.order.ports import Answer, Mark, NotYet, Proposal, Refused, Risk, Store
from creditstream.store.proposals import gives_way
from schemas.assessment import Assessment
from schemas.decision import WAITING, Decision
from schemas.order import Order
from schemas.status import Row


def an_order(**fields: Any) -> Order:
    """A valid order with a new id; `fields` replace the usual ones."""
    usual: dict[str, Any] = {
        "order_id": uuid4(),
        "customer_id": "c-102",
        "amount": Decimal("1500.00"),
        "term_months": 12,
        "product": "personal_loan",
        "created_at": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "metadata": {"channel": "app"},
    }
    return Order(**(usual | fields))


def a_proposal(order: Order | None = None, decision: Decision = WAITING, replaces: int | None = None) -> Proposal:
    """To commit that order (default: a new one) in that state."""
    order = order or an_order()
    return Proposal(order, order.fingerprint(), decision, replaces)


class ManualClock:
    """Time that passes only by `advance`. Call it for seconds (monotonic); `now` is the date; `sleep` waits for it."""

    def __init__(self, start: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def __call__(self) -> float:
        return self._elapsed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    async def sleep(self, seconds: float) -> None:
        """Ends when the clock has been advanced by so much."""
        wake = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._order, wake))
        await wake

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            _, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)


class FakeStore(Store):
    """The contract of `Store` in memory. `rows` is what is committed, `batches` what each commit was asked."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self._clock = clock or ManualClock()
        self.rows: dict[UUID, Row] = {}
        self.batches: list[list[Proposal]] = []
        self._failures: deque[bool] = deque()
        self._refused: dict[UUID, Refused] = {}
        self._removed: dict[UUID, Refused] = {}
        self._outlived: set[UUID] = set()
        self._unanswered: dict[UUID, NotYet] = {}
        #: What must be there (`Store.expect`).
        self.expected: list[Mark] = []

    def fail_next(self, times: int = 1, *, after_commit: bool = False) -> None:
        """The next calls raise StoreUnavailable; `after_commit`: the rows are written and only the answer is lost."""
        self._failures.extend([after_commit] * times)

    def refuse(self, order_ids: Iterable[UUID], reason: str = "invalid_data") -> None:
        """From now on these ids are data errors."""
        self._refused |= {order_id: Refused(reason, "refused by the test") for order_id in order_ids}

    def hold(self, order_ids: Iterable[UUID], at_last: Refused | None = None) -> Callable[[], None]:
        """Nothing can be said of these ids, as when their month has to be made. Returns what ends that."""
        held = dict.fromkeys(order_ids, NotYet(at_last))
        self._unanswered |= held

        def end() -> None:
            for order_id in held:
                del self._unanswered[order_id]

        return end

    def remove(self, order_ids: Iterable[UUID]) -> None:
        """Their rows go, as with their month. The ids are known for ever."""
        for order_id in order_ids:
            del self.rows[order_id]
            self._removed[order_id] = Refused("row_removed", "removed by the test")

    def forget(self) -> None:
        """The ids of removed rows go too: their orders are new ones from now on."""
        self._outlived |= self._removed.keys()
        self._removed.clear()

    async def commit(self, proposals: Sequence[Proposal]) -> Mapping[UUID, Answer]:
        self.batches.append(list(proposals))
        await asyncio.sleep(0)
        self._require()
        failure = self._failures.popleft() if self._failures else None
        if failure is False:
            raise StoreUnavailable("told to fail")
        answers = {proposal.order.order_id: self._commit(proposal) for proposal in proposals}
        if failure:
            raise StoreUnavailable("told to fail after the commit")
        return answers

    def expect(self, marks: Iterable[Mark]) -> None:
        self.expected += marks

    @property
    def taken_back(self) -> str:
        """As `PostgresStore.taken_back`."""
        return "commits are missing" if self.expected else ""

    def bring_back(self) -> None:
        """`restore` has run: nothing more is known to be missing."""
        self.expected.clear()

    def _require(self) -> None:
        """A removed order's id is known still, and the ids that `forget` takes go with what is known of a month."""
        known = self.rows.keys() | self._removed.keys() | self._outlived
        if any(mark.order_id not in known for mark in self.expected):
            raise StoreTakenBack("commits are missing")
        self.expected.clear()

    async def find(self, order_ids: Sequence[UUID]) -> Mapping[UUID, Answer]:
        await asyncio.sleep(0)
        self._require()
        if self._failures:
            self._failures.popleft()
            raise StoreUnavailable("told to fail")
        known: dict[UUID, Answer] = {**self.rows, **self._removed}
        known |= {order_id: answer for order_id, answer in self._unanswered.items() if order_id in known}
        return {order_id: known[order_id] for order_id in order_ids if order_id in known}

    def _commit(self, proposal: Proposal) -> Answer:
        order_id = proposal.order.order_id
        for others in (self._unanswered, self._refused, self._removed):
            if order_id in others:
                return others[order_id]
        known = self.rows.get(order_id)
        if known is None:
            self.rows[order_id] = self._first(proposal)
        elif gives_way(known, proposal):
            changes = msgspec.structs.asdict(proposal.decision)
            self.rows[order_id] = msgspec.structs.replace(
                known, **changes, version=known.version + 1, updated_at=self._clock.now()
            )
        return self.rows[order_id]

    def _first(self, proposal: Proposal) -> Row:
        order = msgspec.structs.asdict(proposal.order)
        del order["metadata"]
        return Row(
            **order,
            **msgspec.structs.asdict(proposal.decision),
            fingerprint=proposal.fingerprint,
            updated_at=self._clock.now(),
            version=1,
        )


class FakeRisk(Risk):
    """A scripted risk API. `calls` are the order ids in the order asked; what is not scripted gets `usual`."""

    def __init__(self, usual: Assessment | None = None) -> None:
        self.usual = usual or Assessment(score=700, reasons=("good_history",), model_version="fake-1")
        self.calls: list[UUID] = []
        self._answers: defaultdict[UUID, deque[Assessment | Exception]] = defaultdict(deque)
        self._gates: dict[UUID | None, asyncio.Event] = {}
        self._asked = asyncio.Condition()

    def script(self, order_id: UUID, *answers: Assessment | Exception) -> None:
        """The next answers about that order, one a call; then `usual`."""
        self._answers[order_id].extend(answers)

    def hold(self, order_id: UUID | None = None) -> asyncio.Event:
        """Calls about that order (None: every order) wait until the event is set."""
        return self._gates.setdefault(order_id, asyncio.Event())

    async def wait_for_calls(self, count: int) -> None:
        """Until so many calls have come in, held ones included."""
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.calls) >= count)

    async def assess(self, order: Order) -> Assessment:
        async with self._asked:
            self.calls.append(order.order_id)
            self._asked.notify_all()
        for gate in (self._gates.get(order.order_id), self._gates.get(None)):
            if gate:
                await gate.wait()
        script = self._answers[order.order_id]
        answer = script.popleft() if script else self.usual
        if isinstance(answer, Exception):
            raise answer
        return answer
