"""A database that a test has used is for another one as its template is, or is not used again."""

from collections.abc import Iterator

import psycopg2
import pytest

from tests.support.cloned import Template, migrated_template
from tests.support.servers import Servers

_ITSELF = "SELECT oid FROM pg_database WHERE datname = current_database()"
_ORDER = """
SELECT ensure_orders_partition('2025-02-10');
INSERT INTO order_keys SELECT gen_random_uuid(), '2025-02-10', decode(repeat('00', 16), 'hex');
INSERT INTO orders (
    order_id, customer_id, amount, term_months, product, status, score, reason, created_at, updated_at, version,
    fingerprint
)
SELECT order_id, 'c-1', 1500, 12, 'personal_loan', 'approved', 700, 'score_above_threshold', created_at, now(), 1,
       fingerprint
FROM order_keys;
ANALYZE orders, order_keys;
"""


@pytest.fixture
def own(stack: Servers) -> Iterator[Template]:
    with migrated_template(stack.postgres_dsn, stack.replica_dsn) as template:
        yield template


def test_rows_and_partitions_go_and_it_has_another_name(own: Template) -> None:
    with own.cloned() as first:
        itself = first.fetch(_ITSELF)
        first.fetch(_ORDER)
    with own.cloned() as second:
        assert second.fetch(_ITSELF) == itself
        assert second.fetch("SELECT count(*) FROM orders") == second.fetch("SELECT count(*) FROM order_keys") == [(0,)]
        assert second.fetch("SELECT to_regclass('orders_2025_02')") == [(None,)]
        assert second.fetch_from_replica("SELECT count(*) FROM orders") == [(0,)]
        with pytest.raises(psycopg2.OperationalError, match="does not exist"):
            first.fetch("SELECT")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE orders ADD COLUMN note text",
        "CREATE INDEX ON order_keys (fingerprint)",
        "DROP TABLE orders_{month}",
        "GRANT SELECT (customer_id) ON orders TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION ensure_orders_partition FROM PUBLIC",
        "ALTER DATABASE {name} SET statement_timeout = '7s'",
        "ALTER TABLE orders DISABLE TRIGGER USER; CREATE RULE none AS ON DELETE TO order_keys DO INSTEAD NOTHING",
        "UPDATE schema_migrations SET checksum = 'another'",
    ],
)
def test_one_that_was_changed_is_not_used_again(own: Template, change: str) -> None:
    with own.cloned() as database:
        [(month,)] = database.fetch("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
        database.fetch(change.format(name=database.name, month=month))
        itself = database.fetch(_ITSELF)
    with own.cloned() as another:
        assert another.fetch(_ITSELF) != itself


def test_whoever_is_connected_still_is_sent_away(own: Template) -> None:
    with own.cloned() as database:
        itself = database.fetch(_ITSELF)
        left = psycopg2.connect(database.dsn)
        left.cursor().execute("LOCK TABLE orders")
    with pytest.raises(psycopg2.OperationalError), left.cursor() as cursor:
        cursor.execute("SELECT")
    with own.cloned() as another:
        assert another.fetch(_ITSELF) == itself
