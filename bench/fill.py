"""What a worker and its database remember when a measurement begins: millions of ids in `seen`, of rows in `orders`."""

import os
from contextlib import closing
from functools import partial
from typing import Any

import psycopg2
from faust.stores.rocksdb import RocksDBOptions
from rocksdict import WriteBatch

from bench.contenders import Place
from creditstream.kafka.table import MEMORY
from devtools.wait import wait_for

#: Ids of one batch.
_WRITES = 50_000
#: As the table has it: what is written without it would be taken for long expired.
_TTL = 168 * 3600
#: What RocksDB still does with ids that came all at once; in a worker's life they come over days.
_AT_WORK = ("rocksdb.compaction-pending", "rocksdb.num-running-compactions", "rocksdb.num-running-flushes")
#: Rows that one statement writes.
_STEP = 1_000_000
#: How to take every index of both tables away, and to make it again: ten million random ids are sorted once
#: instead of looked up five times each.
INDEXES = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE contype = 'p' AND conrelid IN ('orders'::regclass, 'order_keys'::regclass)
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index WHERE indrelid = 'orders'::regclass AND NOT indisprimary
"""
#: Rows of orders as they are a month later, none of today; ids are not those of the burst.
_FILL = """
WITH given AS (
    SELECT gen_random_uuid() AS order_id, date_trunc('month', today) + random() * (today - date_trunc('month', today))
        AS created_at
    FROM generate_series(1, {rows}), date_trunc('day', now(), 'UTC') AS today
), keys AS (INSERT INTO order_keys (order_id, created_at, fingerprint)
    SELECT order_id, created_at, decode(md5(order_id::text), 'hex') FROM given RETURNING *)
INSERT INTO orders (order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version,
    policy_version, metadata, created_at, updated_at, version, fingerprint)
SELECT order_id, 'c-' || (random() * 5000)::int, 1500, 12, 'personal_loan', 'approved', 700, 'score_above_threshold',
    '[]', 'simulated-1', '1', '{{}}', created_at, created_at, 1, fingerprint FROM keys
"""


def fill_rows(place: Place, rows: int) -> None:
    """Orders that other runs have left in the database."""
    with closing(psycopg2.connect(place.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for drop, _ in indexes:
            cursor.execute(drop)
        for done in range(0, rows, _STEP):
            cursor.execute(_FILL.format(rows=min(_STEP, rows - done)))
            print(f"rows in orders: {min(done + _STEP, rows):,} of {rows:,} written", flush=True)
        cursor.execute("SET maintenance_work_mem = '1GB'")
        for _, create in indexes:
            cursor.execute(create)
        cursor.execute("VACUUM ANALYZE")


def fill_ids(place: Place, ids: int) -> None:
    """Ids in each partition's RocksDB, behind its changelog's back: that is read only when they are gone."""
    folders = sorted(place.folder.glob("**/seen-*.db"))
    if not folders:
        raise SystemExit(f"creditstream: no RocksDB of `seen` under {place.folder}")
    for folder in folders:
        store = RocksDBOptions(**MEMORY, ttl=_TTL).open(folder)
        for _ in range(0, ids // len(folders), _WRITES):
            batch = WriteBatch(raw_mode=True)
            for _ in range(min(_WRITES, ids // len(folders))):
                batch.put(os.urandom(16), os.urandom(16))
            store.write(batch)
        wait_for(partial(_is_at_rest, store), 600, f"RocksDB is done with {folder}")
        store.close()


def _is_at_rest(store: Any) -> bool:
    return not any(store.property_int_value(each) for each in _AT_WORK)
