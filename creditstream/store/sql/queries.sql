-- Every statement of the store, by name. `{name}` stands for another one's text.
-- Rows travel both ways as one JSON value. psycopg2 binds on the client, and one string is the cheapest to bind: 8 us of
-- CPU an order in batches of 500, against 19 us with `unnest` over arrays and 14 us with rows read back as tuples.

-- name: start_migration
-- All of it lasts as long as the transaction: behind a pooler nothing is left on the server's connection.
SET LOCAL timezone = 'UTC';
SET LOCAL statement_timeout = 0;
SELECT pg_try_advisory_xact_lock(hashtext('creditstream'), hashtext('migrations'));

-- name: migrations_lock_holder
SELECT min(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint, objid::bigint) = (
    hashtext('creditstream')::bigint & 4294967295, hashtext('migrations')::bigint & 4294967295
  );

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

-- name: settings
-- Of one message: see `message` in database.py. A role's or a database's own settings may differ from these.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = '10s';
SET LOCAL timezone = 'UTC';

-- name: check
SELECT 1;

-- name: require_commits
-- In the same transaction as whatever is committed or believed: docs/adr/0027-taken-back.md.
SELECT require_commits(%(marks)s::json, %(report)s::uuid);

-- name: check_commits
{require_commits}

-- name: report_taken_back
-- Looked at once more: a row may have been out of sight for a moment. False: nothing is missing.
WITH reported AS (
    INSERT INTO taken_back (report, noticed_by)
    SELECT %(report)s::uuid, %(by)s WHERE commits_are_missing(%(marks)s::json)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM reported) OR EXISTS (SELECT FROM taken_back WHERE report = %(report)s::uuid);

-- name: check_primary
-- Null, or why this server and database can take no order.
SELECT CASE
    WHEN pg_is_in_recovery() THEN 'is read-only: a standby, the address should lead to the primary'
    WHEN current_setting('transaction_read_only')::bool THEN 'is read-only (default_transaction_read_only)'
    WHEN to_regclass('orders') IS NULL OR to_regclass('order_keys') IS NULL
        THEN 'has no table of ours here: another database, or `migrate` did not run'
    WHEN NOT (has_table_privilege('orders', 'INSERT') AND has_table_privilege('order_keys', 'INSERT'))
        THEN 'does not let our role write orders and order_keys: GRANT it'
END;

-- name: row
order_id, customer_id, amount, term_months, product, status, score, reason, model_version, policy_version,
        created_at, updated_at, version, reasons, encode(fingerprint, 'base64') AS fingerprint

-- name: waits_for_person
-- The reasons are those of schemas/decision.py: a test compares them.
(
    orders.status = 'under_review'
    AND orders.reason IN ('attempts_exhausted', 'no_usable_answer', 'risk_refused', 'unknown_product')
)

-- name: claim_orders
-- Sorted, so that two workers' batches wait for each other in one direction only.
{require_commits}
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
{require_commits}
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
    policy_version text, replaces int
)
JOIN order_keys AS known ON known.order_id = given.order_id AND known.fingerprint = decode(given.fingerprint, 'base64')
WHERE orders.order_id = known.order_id
  AND orders.created_at = known.created_at
  AND orders.status = 'under_review'
  AND given.reason <> 'waiting_for_risk'  -- only ever makes a row; the reason is that of schemas/decision.py
  AND CASE
      WHEN {waits_for_person} THEN orders.version = given.replaces
      ELSE (orders.status, orders.reason) <> (given.status, given.reason)
  END;
{find_orders}

-- name: row_of_known
-- LIMIT 1 keeps it one index probe in one partition for each id, whatever the planner thinks of the table's size.
LATERAL (
    SELECT {row}
    FROM orders
    WHERE orders.order_id = known.order_id AND orders.created_at = known.created_at
    LIMIT 1
) AS found

-- name: find_orders
SELECT coalesce(json_agg(found), '[]')::text
FROM order_keys AS known CROSS JOIN {row_of_known}
WHERE known.order_id = ANY (%(ids)s::uuid[]);

-- name: require_primary
-- Before an answer that a standby would give too, and perhaps an old one.
DO $$ BEGIN
    IF pg_is_in_recovery() THEN
        RAISE read_only_sql_transaction USING MESSAGE = 'this is a standby';
    END IF;
END $$;

-- name: find_committed
-- An id outlives its row: its order is not a new one. `open`: its month is on its way out, and may come back.
-- That there is no row is true only of ids that were seen before this was planned: see `next_ids`.
{require_primary}
{require_commits}
SELECT json_build_object(
    'rows', coalesce(json_agg(found) FILTER (WHERE found.order_id IS NOT NULL), '[]'),
    'removed', coalesce(json_agg(known.order_id) FILTER (WHERE is_removed AND NOT is_open), '[]'),
    'open', coalesce(json_agg(known.order_id) FILTER (WHERE is_open), '[]')
)::text
FROM order_keys AS known
LEFT JOIN {row_of_known} ON true
CROSS JOIN LATERAL (SELECT found.order_id IS NULL AS is_removed) AS judged
CROSS JOIN LATERAL (
    SELECT is_removed AND EXISTS (
        SELECT FROM dropped_months WHERE month = date_trunc('month', known.created_at, 'UTC') AND {may_come_back}
    ) AS is_open
) AS its_month
WHERE known.order_id = ANY (%(ids)s::uuid[]);

-- name: orders_without_month
-- Those orders that are new and whose month has no partition that takes them. `goes`: it is on its way out, and none
-- can be made now, or should be: `retention` is at work on its table, and may attach it again.
SELECT coalesce(json_agg(json_build_object(
    'order_id', order_id, 'month', to_char(month, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'goes', goes
)), '[]')::text
FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS given (order_id, created_at)
CROSS JOIN LATERAL (SELECT date_trunc('month', created_at, 'UTC') AS month) AS its
CROSS JOIN LATERAL (SELECT to_regclass(to_char(month, '"orders_"YYYY_MM')) AS named) AS its_table
LEFT JOIN pg_inherits ON inhrelid = named AND inhparent = 'orders'::regclass
CROSS JOIN LATERAL (
    SELECT coalesce(inhdetachpending, false) OR EXISTS (
        SELECT FROM dropped_months WHERE dropped_months.month = its.month AND {may_come_back}
    ) AND EXISTS ({retention_at_work}) AS goes
) AS judged
WHERE (inhrelid IS NULL OR inhdetachpending)
  AND NOT EXISTS (SELECT FROM order_keys WHERE order_keys.order_id = given.order_id);

-- name: make_month
-- The lock that it needs may be held for hours, and whoever waits for it here has a connection that others need.
SET LOCAL lock_timeout = '100ms';
SELECT ensure_orders_partition(%(month)s::timestamptz);

-- name: make_months_ahead
SET LOCAL lock_timeout = '1s';
{ensure_partitions_ahead}

-- name: ensure_partitions_ahead
-- This month and the next two: a worker that is not restarted for a month still never creates one in a hurry.
SELECT count(*) FILTER (WHERE ensure_orders_partition(month))
FROM generate_series(
    date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months',
    interval '1 month'
) AS local, LATERAL (SELECT local AT TIME ZONE 'UTC') AS utc (month);

-- name: months_ahead
-- Months after this one, without a gap, whose partition is there; counted up to a year.
SELECT coalesce(min(ahead) - 1, 12)
FROM generate_series(1, 12) AS ahead
WHERE to_regclass(
    'orders_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + ahead * interval '1 month', 'YYYY_MM')
) IS NULL;

-- name: primary_position
-- Where its log ends, and which start of which server this is.
{require_primary}
SELECT pg_current_wal_lsn()::text || '@' || extract(epoch FROM pg_postmaster_start_time())::text;

-- name: replica_has
-- A server that is no replica has it if it is the primary itself; one that was promoted follows nobody any more.
SELECT CASE
    WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= split_part(%(position)s, '@', 1)::pg_lsn
    ELSE extract(epoch FROM pg_postmaster_start_time())::text = split_part(%(position)s, '@', 2)
END;

-- name: counts_today
SELECT coalesce(json_object_agg(status, orders), '{}')::text
FROM (
    SELECT status, count(*) AS orders FROM orders WHERE created_at >= date_trunc('day', now(), 'UTC') GROUP BY status
) AS counted;

-- name: replica_lag
-- While the replica is connected and has replayed all it got, it is up to date, however long ago the last write was.
-- One that was started and has replayed nothing since is as old as the checkpoint from which it began.
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN NULL
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0.0
    ELSE greatest(0.0, extract(epoch FROM clock_timestamp() - coalesce(
        pg_last_xact_replay_timestamp(), (SELECT checkpoint_time FROM pg_control_checkpoint())
    )))
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

-- name: backend
SELECT pg_backend_pid();

-- name: start_maintenance
SET lock_timeout = '1s';
SET timezone = 'UTC';

-- name: try_only_one
SELECT pg_try_advisory_lock(hashtext('creditstream'), hashtext(%(what)s));

-- name: retention_at_work
SELECT FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint, objid::bigint) = (
    hashtext('creditstream')::bigint & 4294967295, hashtext('retention')::bigint & 4294967295
  )

-- name: drop_is_begun
-- And has not ended. The version before knows nothing of `going`.
(going IS NOT NULL OR dropped_at IS NULL)

-- name: may_come_back
-- The row that is not seen may be there later.
({drop_is_begun} AND EXISTS (SELECT FROM pg_class WHERE oid = partition))

-- name: expired_months
-- Months that lie wholly before the cutoff, oldest first; only tables that this program made, never a default partition.
-- `recent`: rows that were written after the cutoff, whatever their created_at says: they keep their month.
SELECT coalesce(json_agg(expired ORDER BY month), '[]')::text
FROM (
    SELECT to_char(month, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS month, counted.*
    FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid
    CROSS JOIN LATERAL (
        SELECT CASE WHEN relname ~ '^orders_\d\d\d\d_\d\d$' THEN to_timestamp(substr(relname, 8), 'YYYY_MM') END AS month
    ) AS named
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS orders,
            count(*) FILTER (WHERE updated_at >= %(cutoff)s) AS recent,
            count(*) FILTER (WHERE {waits_for_person}) AS for_a_person,
            count(*) FILTER (WHERE status = 'under_review' AND NOT {waits_for_person}) AS undecided
        FROM orders
        WHERE created_at >= month AND created_at < month + interval '1 month'
    ) AS counted
    WHERE inhparent = 'orders'::regclass AND NOT inhdetachpending
      AND month + interval '1 month' <= %(cutoff)s
) AS expired;

-- name: begin_drop
-- Which table is meant is settled here: an order of that month may make it a new partition while the old one goes.
-- What is known of an earlier drop of that month stays until this one ends: it may end with the month kept.
INSERT INTO dropped_months (month, orders, going, partition)
VALUES (
    %(month)s, 0, %(orders)s, to_regclass(to_char(%(month)s::timestamptz, '"orders_"YYYY_MM'))
)
ON CONFLICT (month) DO UPDATE SET going = excluded.going, partition = excluded.partition, begun_at = now()
RETURNING 1;

-- name: begun_months
SELECT coalesce(json_agg(to_char(month, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') ORDER BY month), '[]')::text
FROM dropped_months WHERE {drop_is_begun};

-- name: detach_statement
-- The statement to run next, or null. CONCURRENTLY locks nobody out, but PostgreSQL has no such thing beside a default
-- partition: everybody waits behind what is used then, so it waits for a moment only. Begun and broken off, it is
-- finished.
SELECT (
    SELECT format(
        CASE
            WHEN inhdetachpending THEN 'ALTER TABLE orders DETACH PARTITION %%I FINALIZE'
            WHEN EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = inhparent AND partdefid <> 0)
                THEN 'SET LOCAL lock_timeout = ''100ms''; ALTER TABLE orders DETACH PARTITION %%I'
            ELSE 'ALTER TABLE orders DETACH PARTITION %%I CONCURRENTLY'
        END,
        relname
    )
    FROM dropped_months JOIN pg_inherits ON inhrelid = partition JOIN pg_class ON pg_class.oid = inhrelid
    WHERE month = %(month)s AND {drop_is_begun} AND inhparent = 'orders'::regclass AND is_table_of(relname, month)
);

-- name: other_tables
-- Null; or, when the number of a begun drop's table is another one's or nobody's, what has that number, and those tables
-- that may be meant. As after a dump and restore.
SELECT string_agg(format('%%I', relname), ', ' ORDER BY relname)
FROM dropped_months JOIN pg_class ON CASE
    WHEN pg_class.oid = partition THEN NOT is_table_of(relname, month)
    ELSE relkind = 'r' AND is_table_of(relname, month)
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'orders'::regclass)
        AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = pg_class.oid)
        AND NOT EXISTS (SELECT FROM pg_class AS its WHERE its.oid = partition AND is_table_of(its.relname, month))
END
WHERE month = %(month)s AND {drop_is_begun};

-- name: set_aside
SELECT set_aside(%(month)s);

-- name: keep_month
SELECT keep_month(%(month)s, %(cutoff)s);

-- name: drop_statement
-- Of the table that is set aside; or null.
SELECT (
    SELECT format('DROP TABLE %%s', detached_table(month))
    FROM dropped_months
    WHERE month = %(month)s AND {drop_is_begun} AND detached_table(month) IS NOT NULL
);

-- name: end_drop
UPDATE dropped_months SET
    orders = orders + coalesce(going, 0), going = NULL, dropped_at = now(), published_at = NULL
WHERE month = %(month)s
RETURNING 1;

-- name: next_ids
-- A statement of its own. A month may get its partition, and the first order, after a statement was planned and before
-- it runs: it sees the order's id and not the row. One that is planned after the id was seen sees both.
SELECT set_config('creditstream.page', (
    SELECT coalesce(array_agg(order_id), '{}')::text
    FROM (SELECT order_id FROM order_keys WHERE order_id > %(after)s::uuid ORDER BY order_id LIMIT %(limit)s) AS page
), true);

-- name: page
current_setting('creditstream.page')::uuid[]

-- name: removed_orders
-- The next page of ids whose row is gone with its month and not yet from order-status.
{next_ids}
SELECT json_build_object('last', max(order_id::text), 'ids', coalesce(json_agg(order_id) FILTER (WHERE gone), '[]'))::text
FROM (
    SELECT
        order_id,
        EXISTS (
            SELECT FROM dropped_months
            WHERE month = date_trunc('month', known.created_at, 'UTC')
              AND dropped_at <= %(upto)s AND published_at IS NULL AND NOT {drop_is_begun}
        ) AND NOT EXISTS (
            SELECT FROM orders WHERE orders.order_id = known.order_id AND orders.created_at = known.created_at
        ) AS gone
    FROM order_keys AS known
    WHERE order_id = ANY ({page})
) AS page;

-- name: unpublished_months
SELECT count(*) FROM dropped_months WHERE dropped_at IS NOT NULL AND published_at IS NULL AND NOT {drop_is_begun};

-- name: end_publishing
WITH ended AS (
    UPDATE dropped_months SET published_at = now()
    WHERE dropped_at <= %(upto)s AND published_at IS NULL AND NOT {drop_is_begun}
    RETURNING 1
)
SELECT count(*) FROM ended;

-- name: expired_key_months
SELECT count(*) FROM dropped_months
WHERE published_at IS NOT NULL AND dropped_at <= %(cutoff)s AND NOT {drop_is_begun};

-- name: delete_keys
-- The next page of ids: those whose row was dropped before the cutoff go. Sorted and without waiting, as workers lock
-- them too.
{next_ids}
WITH expired AS MATERIALIZED (
    SELECT known.order_id
    FROM order_keys AS known
    WHERE known.order_id = ANY ({page}) AND EXISTS (
        SELECT FROM dropped_months
        WHERE month = date_trunc('month', known.created_at, 'UTC')
          AND published_at IS NOT NULL AND dropped_at <= %(cutoff)s AND NOT {drop_is_begun}
    ) AND NOT EXISTS (
        SELECT FROM orders WHERE orders.order_id = known.order_id AND orders.created_at = known.created_at
    )
    ORDER BY known.order_id
    FOR UPDATE OF known SKIP LOCKED
), deleted AS (
    DELETE FROM order_keys USING expired WHERE order_keys.order_id = expired.order_id RETURNING 1
)
SELECT json_build_object(
    'last', (SELECT max(id::text) FROM unnest({page}) AS id), 'deleted', (SELECT count(*) FROM deleted)
)::text;

-- name: now
SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- name: count_keys
-- Roughly, for a progress bar.
SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'order_keys'::regclass;

-- name: settled
-- Decided, or given up: nothing of the order is on its way any more.
(status <> 'under_review' OR {waits_for_person} OR updated_at < now() - make_interval(secs => %(age)s))

-- name: begun_drops
-- The rows of their months may be out of sight, and come back.
SELECT count(*) FROM dropped_months WHERE {drop_is_begun};

-- name: forget_count
SELECT json_build_object(
    'orders', count(*) FILTER (WHERE {settled}), 'undecided', count(*) FILTER (WHERE NOT {settled})
)::text
FROM orders WHERE customer_id = %(customer)s;

-- name: forget_begin
INSERT INTO forget_requests (request, requested_by) VALUES (%(request)s, %(by)s) RETURNING 1;

-- name: forget_page
-- The next page of the customer's orders. The ids are locked first and in order, as workers do. The fingerprint goes too:
-- a hash of what is known of the order and a guessed customer would tell whose it was.
WITH page AS MATERIALIZED (
    SELECT known.order_id, known.created_at
    FROM orders JOIN order_keys AS known USING (order_id, created_at)
    WHERE customer_id = %(customer)s AND {settled}
    ORDER BY known.order_id
    LIMIT %(limit)s
    FOR UPDATE OF known
), keys AS (
    UPDATE order_keys SET fingerprint = decode(repeat('00', 16), 'hex')
    FROM page WHERE order_keys.order_id = page.order_id
), unpublished AS (
    INSERT INTO forgotten_unpublished SELECT order_id FROM page ON CONFLICT DO NOTHING
), changed AS (
    UPDATE orders SET
        customer_id = %(forgotten)s,
        metadata = jsonb_build_object(),
        fingerprint = decode(repeat('00', 16), 'hex'),
        updated_at = greatest(clock_timestamp(), orders.updated_at),
        version = orders.version + 1
    FROM page
    WHERE orders.order_id = page.order_id AND orders.created_at = page.created_at
    RETURNING 1
)
SELECT count(*) FROM changed;

-- name: forgotten_unpublished
SELECT coalesce(json_agg(found), '[]')::text
FROM forgotten_unpublished AS waiting
JOIN order_keys AS known USING (order_id)
CROSS JOIN LATERAL (
    SELECT {row} FROM orders WHERE orders.order_id = known.order_id AND orders.created_at = known.created_at LIMIT 1
) AS found;

-- name: forgotten_published
WITH done AS (DELETE FROM forgotten_unpublished WHERE order_id = ANY (%(ids)s::uuid[]) RETURNING 1)
SELECT count(*) FROM done;

-- name: forget_end
UPDATE forget_requests SET
    orders = %(orders)s, letters = %(letters)s, finished_at = CASE WHEN %(finished)s THEN now() END
WHERE request = %(request)s
RETURNING 1;
