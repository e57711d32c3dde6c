"""Every index has a query that uses it, and every query an index, on tables that are filled like the real ones."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg2
import pytest

from creditstream.store.queries import query

#: Stands for now(): on the first days of a month its partition is nearly empty, and rightly read as a whole.
NOON = "(date_trunc('month', now(), 'UTC') - interval '10 days 12 hours')"
FILL = f"""
SELECT ensure_orders_partition({NOON} - make_interval(months => n)) FROM generate_series(0, 5) AS n;
CREATE TEMP TABLE filled AS
SELECT gen_random_uuid() AS order_id, sha256(n::text::bytea) AS hash, n,
       greatest({NOON} - n * interval '4 minutes', {NOON} - interval '5 months') AS created_at
FROM generate_series(1, 40000) AS n;
INSERT INTO order_keys SELECT order_id, created_at, substr(hash, 1, 16) FROM filled;
INSERT INTO orders (order_id, customer_id, amount, term_months, product, status, score, reason, created_at, updated_at,
                    version, fingerprint)
SELECT order_id, 'c-' || n % 5000, 1500, 12, 'personal_loan',
       CASE WHEN n % 50 = 0 THEN 'under_review' WHEN n % 3 = 0 THEN 'rejected' ELSE 'approved' END,
       700, 'score_above_threshold', created_at, created_at, 1, substr(hash, 1, 16)
FROM filled;
ANALYZE orders, order_keys;
"""
NO_FILTER = dict.fromkeys(("status", "product", "customer", "since", "until", "after", "after_id")) | {"limit": 50}
OLD = f"SELECT order_id::text FROM orders WHERE created_at < {NOON} - interval '1 month' ORDER BY order_id LIMIT %s"


class Plan(NamedTuple):
    """What a plan executed, empty partitions aside: indexes (or "all of" a table), and how many rows it threw away."""

    indexes: set[str]
    partitions: set[str]
    nodes: set[str]
    removed: int


class Explainer:
    """A filled database; knows which partition index belongs to which index of `orders`."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        cursor.execute(
            "SELECT child.relname, parent.relname FROM pg_inherits"
            " JOIN pg_class AS child ON child.oid = inhrelid JOIN pg_class AS parent ON parent.oid = inhparent"
        )
        self.parents = dict(cursor.fetchall())
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples <= 0")
        self.empty = {name for (name,) in cursor.fetchall()}

    def plan(self, statement: str, parameters: dict[str, Any]) -> Plan:
        self.cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.replace("now()", NOON), parameters)
        nodes = [node for node in _nodes(self.cursor.fetchone()[0][0]["Plan"]) if node["Actual Loops"]]
        reads = [
            node for node in nodes if node["Node Type"] != "ModifyTable" and node.get("Relation Name") not in self.empty
        ]
        indexes = {self.parents.get(node["Index Name"], node["Index Name"]) for node in reads if "Index Name" in node}
        whole = {f"all of {node['Relation Name']}" for node in reads if node["Node Type"] == "Seq Scan"}
        return Plan(
            indexes | whole,
            {node["Relation Name"] for node in reads if node.get("Relation Name", "").startswith("orders_")},
            {node["Node Type"] for node in reads},
            sum(node.get("Rows Removed by Filter", 0) for node in reads),
        )

    def ids(self, count: int) -> str:
        self.cursor.execute(OLD, (count,))
        return "{" + ",".join(row[0] for row in self.cursor.fetchall()) + "}"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.fixture
def explain(database: Any) -> Iterator[Explainer]:
    connection = psycopg2.connect(database.dsn)
    with connection.cursor() as cursor:
        cursor.execute(FILL)
        connection.commit()
        yield Explainer(cursor)
    connection.close()


def test_the_newest_orders(explain: Explainer) -> None:
    plan = explain.plan(query("newest_orders"), NO_FILTER)
    assert plan.indexes == {"orders_by_time"}
    assert len(plan.partitions) <= 2  # older ones are never read
    assert plan.removed == 0


def test_the_next_page_of_the_newest_orders(explain: Explainer) -> None:
    explain.cursor.execute("SELECT created_at, order_id::text FROM orders ORDER BY 1 DESC OFFSET 30000 LIMIT 1")
    after, after_id = explain.cursor.fetchone()
    plan = explain.plan(query("newest_orders"), NO_FILTER | {"after": after, "after_id": after_id})
    assert plan.indexes == {"orders_by_time"}
    assert plan.removed <= 1


def test_orders_by_status_and_time(explain: Explainer) -> None:
    explain.cursor.execute(f"SELECT {NOON} - interval '100 days', {NOON} - interval '70 days'")
    since, until = explain.cursor.fetchone()
    plan = explain.plan(query("newest_orders"), NO_FILTER | {"status": "under_review", "since": since, "until": until})
    assert plan.indexes == {"orders_by_status"}
    assert len(plan.partitions) <= 2
    assert plan.removed == 0


def test_one_customers_orders(explain: Explainer) -> None:
    plan = explain.plan(query("newest_orders"), NO_FILTER | {"customer": "c-77"})
    assert plan.indexes == {"orders_by_customer"}
    assert plan.removed == 0


def test_todays_counts_read_the_index_alone(explain: Explainer) -> None:
    explain.cursor.connection.commit()
    explain.cursor.connection.autocommit = True
    explain.cursor.execute("VACUUM ANALYZE orders")
    plan = explain.plan(query("counts_today"), {})
    assert plan.indexes == {"orders_by_time"}
    assert "Index Only Scan" in plan.nodes
    assert len(plan.partitions) == 1


@pytest.mark.parametrize("count", [1, 50, 500])
@pytest.mark.parametrize("name", ["find_orders", "find_committed"])
def test_orders_by_id_are_one_probe_each(explain: Explainer, count: int, name: str) -> None:
    *_before, find = query(name).rstrip(";").split(";\n")
    plan = explain.plan(find, {"ids": explain.ids(count)})
    # Both begin with what is known of the order; the keys of many ids are cheaper read as a whole in a small table.
    assert plan.indexes & {"orders_pkey", "orders_by_time"}
    assert plan.indexes <= {"orders_pkey", "orders_by_time", "order_keys_pkey", "all of order_keys"}
    assert plan.removed <= 40_000


@pytest.mark.parametrize("count", [1, 50, 500])
def test_an_update_finds_its_rows_by_the_key(explain: Explainer, count: int) -> None:
    ids = explain.ids(count)
    explain.cursor.execute(
        "UPDATE orders SET status = 'under_review' WHERE order_id = ANY (%s::uuid[]);"
        "SELECT json_agg(json_build_object('order_id', order_id, 'fingerprint', encode(fingerprint, 'base64'),"
        " 'status', 'approved', 'reason', 'x', 'reasons', '[]'::json, 'score', 1))::text FROM order_keys"
        " WHERE order_id = ANY (%s::uuid[])",
        (ids, ids),
    )
    (batch,) = explain.cursor.fetchone()
    _require, _lock, update, _find = query("settle_orders").split(";\n")
    plan = explain.plan(update, {"batch": batch})
    assert plan.indexes & {"orders_pkey", "orders_by_time"}
    assert plan.indexes <= {"orders_pkey", "orders_by_time", "order_keys_pkey"}
    explain.cursor.execute("SELECT count(*) FROM orders WHERE version = 2")
    assert explain.cursor.fetchone() == (count,)
