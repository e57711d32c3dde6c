"""Whatever decode_order takes, PostgreSQL takes, and gives back as it was."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.store.orders import PostgresStore
from devtools.fakes import a_proposal
from schemas.decision import Decision
from schemas.order import InvalidOrder, decode_order
from schemas.status import Row
from tests.support.database import Database

LATEST = datetime(2026, 12, 1, tzinfo=UTC)
BUSINESS = ("order_id", "customer_id", "amount", "term_months", "product", "created_at")
APPROVED = Decision(status="approved", reason="score_above_threshold", score=712)

good_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=64)
any_text = good_text | st.text(max_size=70) | st.sampled_from(["", "\0", "\ud800", "\\", "'", "%(ids)s", "{}", "\x01"])
numbers = st.integers() | st.floats() | st.sampled_from([10**300, -(10**307), 10**400, 5e-324, 1e300, 1.7e308, -0.0])
values = st.recursive(
    st.none() | st.booleans() | numbers | any_text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(any_text, children, max_size=4),
    max_leaves=12,
)
usual_amounts = st.decimals("0.01", "999999999999.99", places=2)
any_amounts = usual_amounts | st.decimals() | st.sampled_from(["1e3", "1E+11", "1_0", " 7 ", "١"])
orders = st.fixed_dictionaries(
    {
        "customer_id": good_text | any_text,
        "amount": (usual_amounts | any_amounts).map(str),
        "term_months": st.integers(1, 600),
        "product": good_text | any_text,
        "created_at": st.datetimes(datetime(2026, 6, 1), datetime(2026, 11, 30), timezones=st.just(UTC)).map(
            datetime.isoformat
        ),
    },
    optional={"metadata": st.dictionaries(any_text, values, max_size=4), "extra": values},
)


def _bytes(order: dict[str, Any], ascii_only: bool) -> bytes:
    return json.dumps(order, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def _metadata(database: Database, ids: Iterable[UUID]) -> dict[UUID, set[str]]:
    """The names in each row's metadata."""
    names = "SELECT order_id::text, array(SELECT jsonb_object_keys(metadata)) FROM orders"
    query = f"{names} WHERE order_id = ANY (%s::uuid[])"
    return {UUID(order_id): set(names) for order_id, names in database.fetch(query, (list(map(str, ids)),))}


def test_every_accepted_order_is_committed(database: Database) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn))))
        accepted = 0

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(st.tuples(orders, st.booleans()), min_size=1, max_size=8))
        def check(batch: list[tuple[dict[str, Any], bool]]) -> None:
            nonlocal accepted
            decoded = {}
            for fields, ascii_only in batch:
                fields = fields | {"order_id": str(uuid4())}  # hypothesis would give the same one again and again
                try:
                    order = decode_order(_bytes(fields, ascii_only), latest=LATEST, max_bytes=262_144)
                except InvalidOrder:
                    continue
                decoded[order.order_id] = order
            accepted += len(decoded)
            answers = runner.run(store.commit([a_proposal(order) for order in decoded.values()]))
            assert {type(answer) for answer in answers.values()} <= {Row}
            for order_id, order in decoded.items():
                row = answers[order_id]
                assert isinstance(row, Row)
                assert (row.fingerprint, row.version) == (order.fingerprint(), 1)
                assert [getattr(row, name) for name in BUSINESS] == [getattr(order, name) for name in BUSINESS]
            assert _metadata(database, decoded) == {each: set(order.metadata) for each, order in decoded.items()}
            assert runner.run(store.find(list(decoded))) == answers
            settled = runner.run(store.commit([a_proposal(order, APPROVED) for order in decoded.values()]))
            assert {row.status for row in settled.values() if isinstance(row, Row)} <= {"approved"}

        check()
        runner.run(store.close())
    assert accepted > 100  # the test means something


def test_the_largest_orders_fit(database: Database) -> None:
    proposals = []

    async def scenario() -> None:
        store = await PostgresStore.open(Settings(postgres_dsn=Secret(database.dsn)))
        for number in range(20):
            fields = {
                "order_id": f"00000000-0000-4000-8000-{number:012}",
                "customer_id": "€" * 64,
                "amount": "999999999999.99",
                "term_months": 600,
                "product": "\U0001f600" * 64,
                "created_at": (LATEST - timedelta(days=1)).isoformat(),
                "metadata": {"'\\" * 50: "'\\\"%s" * 40_000},
            }
            proposals.append(a_proposal(decode_order(_bytes(fields, False), latest=LATEST, max_bytes=4_194_304)))
        answers = await store.commit(proposals)
        for proposal in proposals:
            assert isinstance(answers[proposal.order.order_id], Row)
        await store.close()

    asyncio.run(scenario())
    given = json.dumps(proposals[0].order.metadata)
    assert database.fetch("SELECT count(*) FROM orders WHERE metadata = %s::jsonb", (given,)) == [(20,)]
