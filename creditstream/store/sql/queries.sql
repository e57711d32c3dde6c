-- Every statement of the store, by name. `{name}` stands for another one's text.
-- Rows travel both ways as one JSON value. psycopg2 binds on the client, and one string is the cheapest to bind: 8 us of
-- CPU an order in batches of 500, against 19 us with `unnest` over arrays and 14 us with rows read back as tuples.

-- name: migrations_lock
SELECT pg_advisory_lock(hashtext('creditstream'), hashtext('migrations'));

-- name: migrations_exist
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: migrations_table
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: migrations_applied
SELECT coalesce(json_object_agg(name, checksum), '{}')::text FROM schema_migrations;

-- name: migrations_record
INSERT INTO schema_migrations (name, checksum) VALUES (%(name)s, %(checksum)s);

-- name: start_session
SET statement_timeout = '10s';
SET idle_in_transaction_session_timeout = '10s';
SET timezone = 'UTC';

-- name: check
SELECT 1;

-- name: row
order_id, customer_id, amount, term_months, product, status, score, reason, model_version, policy_version,
        created_at, updated_at, version, reasons, metadata, encode(fingerprint, 'base64') AS fingerprint

-- name: claim_orders
-- Sorted, so that two workers' batches wait for each other in one direction only.
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(batch)s::json) AS given (
        order_id uuid, fingerprint text, customer_id text, amount numeric, term_months int, product text,
        created_at timestamptz, metadata jsonb, status text, reason text, reasons jsonb, score int,
        model_version text, policy_version text
    )
), claimed AS (
    INSERT INTO order_keys (order_id, created_at, fingerprint)
    SELECT order_id, created_at, decode(fingerprint, 'base64') FROM given ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id, fingerprint
), inserted AS (
    INSERT INTO orders (
        order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version,
        policy_version, metadata, created_at, updated_at, version, fingerprint
    )
    SELECT
        order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version,
        policy_version, metadata, created_at, clock_timestamp(), 1, claimed.fingerprint
    FROM given JOIN claimed USING (order_id)
    RETURNING {row}
)
SELECT coalesce(json_agg(inserted), '[]')::text FROM inserted;

-- name: settle_orders
-- One transaction: PostgreSQL runs the statements of one message in one, each with its own snapshot, so the update
-- and the last read see what the lock waited for: an answer is never older than one that another worker has already.
SELECT order_id FROM order_keys WHERE order_id = ANY (%(ids)s::uuid[]) ORDER BY order_id FOR UPDATE;
UPDATE orders SET
    status = given.status,
    score = given.score,
    reason = given.reason,
    reasons = given.reasons,
    model_version = given.model_version,
    policy_version = given.policy_version,
    updated_at = greatest(clock_timestamp(), orders.updated_at),
    version = orders.version + 1
FROM json_to_recordset(%(batch)s::json) AS given (
    order_id uuid, fingerprint text, status text, reason text, reasons jsonb, score int, model_version text,
    policy_version text
)
JOIN order_keys AS known ON known.order_id = given.order_id AND known.fingerprint = decode(given.fingerprint, 'base64')
WHERE orders.order_id = known.order_id
  AND orders.created_at = known.created_at
  AND orders.status = 'under_review'
  AND (orders.status, orders.reason) <> (given.status, given.reason);
{find_orders}

-- name: find_orders
-- LIMIT 1 keeps it one index probe in one partition for each id, whatever the planner thinks of the table's size.
SELECT coalesce(json_agg(found), '[]')::text
FROM order_keys AS known
CROSS JOIN LATERAL (
    SELECT {row}
    FROM orders
    WHERE orders.order_id = known.order_id AND orders.created_at = known.created_at
    LIMIT 1
) AS found
WHERE known.order_id = ANY (%(ids)s::uuid[]);

-- name: ensure_partitions
SELECT count(*) FILTER (WHERE ensure_orders_partition(month)) FROM unnest(%(months)s::timestamptz[]) AS month;

-- name: ensure_partitions_ahead
-- This month and the next two: a worker that is not restarted for a month still never creates one in a hurry.
SELECT count(*) FILTER (WHERE ensure_orders_partition(month))
FROM generate_series(
    date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months',
    interval '1 month'
) AS local, LATERAL (SELECT local AT TIME ZONE 'UTC') AS utc (month);

-- name: counts_today
SELECT coalesce(json_object_agg(status, orders), '{}')::text
FROM (
    SELECT status, count(*) AS orders FROM orders WHERE created_at >= date_trunc('day', now(), 'UTC') GROUP BY status
) AS counted;

-- name: replica_lag
-- While the replica is connected and has replayed all it got, it is up to date, however long ago the last write was.
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN NULL
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0.0
    ELSE greatest(0.0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))
END::float8;

-- name: newest_orders
-- psycopg2 binds on the client, so a filter that is not given is folded away before planning.
SELECT coalesce(json_agg(newest), '[]')::text
FROM (
    SELECT {row}
    FROM orders
    WHERE (%(status)s::text IS NULL OR status = %(status)s)
      AND (%(product)s::text IS NULL OR product = %(product)s)
      AND (%(customer)s::text IS NULL OR customer_id = %(customer)s)
      AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
      AND (%(after)s::timestamptz IS NULL OR (created_at, order_id) < (%(after)s, %(after_id)s::uuid))
    ORDER BY created_at DESC, order_id DESC
    LIMIT %(limit)s
) AS newest;
