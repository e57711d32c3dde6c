-- The statements of `restore` (docs/adr/0027-taken-back.md). One session, which also holds the lock of `retention`.

-- name: restore_reports
SELECT coalesce(json_agg(report), '[]')::text FROM taken_back WHERE restored_at IS NULL;

-- name: restore_stop_workers
INSERT INTO taken_back (report, noticed_by) VALUES (%(report)s, 'restore') ON CONFLICT DO NOTHING RETURNING 1;

-- name: restore_dropped
-- Since when at least each month is gone: whatever was written to it before is removed, its id perhaps as well.
SELECT coalesce(
    json_object_agg(to_char(month, 'YYYY-MM'), to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), '{}'
)::text
FROM dropped_months
WHERE dropped_at >= begun_at AND NOT {drop_is_begun};  -- else the last one that was begun ended with the month kept

-- name: restore_found
-- `gone`: the row was removed, when its month was dropped if it was. What is lost with its commit leaves no id.
'rows', coalesce(json_agg(found) FILTER (WHERE found.order_id IS NOT NULL), '[]'),
    'gone', coalesce(
        json_object_agg(known.order_id, to_char(dropped_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
            FILTER (WHERE found.order_id IS NULL),
        '{}'
    )

-- name: restore_of_ids
FROM order_keys AS known LEFT JOIN {row_of_known} ON true
LEFT JOIN dropped_months ON month = date_trunc('month', known.created_at, 'UTC')
WHERE known.order_id = ANY (%(ids)s::uuid[])

-- name: restore_look
-- What is here of these ids.
SELECT json_build_object(
    {restore_found}
)::text
{restore_of_ids};

-- name: restore_lock
-- From here on to `restore_commit` nobody makes or changes what has these ids. An id that is neither found nor `made`
-- came while this waited: all of it is done again then.
BEGIN;
SET LOCAL lock_timeout = '10s';
SELECT order_id FROM order_keys WHERE order_id = ANY (%(ids)s::uuid[]) ORDER BY order_id FOR UPDATE;
WITH made AS (
    INSERT INTO order_keys (order_id, created_at, fingerprint)
    SELECT order_id, created_at, decode(fingerprint, 'base64')
    FROM json_to_recordset(%(batch)s::json) AS given (order_id uuid, created_at timestamptz, fingerprint text)
    ORDER BY order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id
)
SELECT json_build_object(
    {restore_found},
    'made', (SELECT coalesce(json_agg(order_id), '[]') FROM made)
)::text
{restore_of_ids};

-- name: restore_commit
COMMIT;
SELECT 1;

-- name: restore_roll_back
ROLLBACK;
SELECT 1;

-- name: restore_month
SELECT ensure_orders_partition(%(month)s::timestamptz);

-- name: restore_write
-- As it was published. What is not published stays as it is here if the row still says the same; else it is not known.
DELETE FROM orders USING json_to_recordset(%(batch)s::json) AS given (order_id uuid, created_at timestamptz)
WHERE orders.order_id = given.order_id AND orders.created_at <> given.created_at;
UPDATE order_keys SET created_at = given.created_at, fingerprint = decode(given.fingerprint, 'base64')
FROM json_to_recordset(%(batch)s::json) AS given (order_id uuid, created_at timestamptz, fingerprint text)
WHERE order_keys.order_id = given.order_id;
INSERT INTO orders (
    order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version,
    policy_version, metadata, created_at, updated_at, version, fingerprint
)
SELECT
    order_id, customer_id, amount, term_months, product, status, score, reason, reasons, model_version,
    policy_version, jsonb_build_object(), created_at, updated_at, version, decode(fingerprint, 'base64')
FROM json_to_recordset(%(batch)s::json) AS given (
    order_id uuid, customer_id text, amount numeric, term_months int, product text, status text, score int, reason text,
    reasons jsonb, model_version text, policy_version text, created_at timestamptz, updated_at timestamptz,
    version int, fingerprint text
)
ON CONFLICT (order_id, created_at) DO UPDATE SET
    customer_id = excluded.customer_id,
    amount = excluded.amount,
    term_months = excluded.term_months,
    product = excluded.product,
    status = excluded.status,
    score = excluded.score,
    reason = excluded.reason,
    reasons = excluded.reasons,
    model_version = excluded.model_version,
    policy_version = excluded.policy_version,
    metadata = CASE WHEN orders.fingerprint = excluded.fingerprint THEN orders.metadata ELSE excluded.metadata END,
    updated_at = excluded.updated_at,
    version = excluded.version,
    fingerprint = excluded.fingerprint;
INSERT INTO restored_orders (order_id, was_lacking, has_metadata, has_reasons)
SELECT order_id, was_lacking, has_metadata, has_reasons
FROM json_to_recordset(%(batch)s::json) AS given (
    order_id uuid, was_lacking boolean, has_metadata boolean, has_reasons boolean
)
ON CONFLICT (order_id) DO UPDATE SET
    has_reasons = excluded.has_reasons,
    has_metadata = restored_orders.has_metadata AND excluded.has_metadata;
-- An order that was restored before its erasure lacks none any more.
UPDATE restored_orders SET has_metadata = true
FROM json_to_recordset(%(batch)s::json) AS given (order_id uuid, fingerprint text)
WHERE restored_orders.order_id = given.order_id AND decode(given.fingerprint, 'base64') = decode(repeat('00', 16), 'hex');
SELECT 1;

-- name: restore_remove
-- Orders that were removed with their month: a tombstone says so. Their ids stay, and what is known of the month.
WITH given AS MATERIALIZED (
    SELECT known.order_id, known.created_at, removed_at
    FROM json_to_recordset(%(batch)s::json) AS given (order_id uuid, removed_at timestamptz)
    JOIN order_keys AS known USING (order_id)
), removed AS (
    DELETE FROM orders USING given
    WHERE orders.order_id = given.order_id AND orders.created_at = given.created_at
      AND orders.updated_at < given.removed_at
    RETURNING orders.order_id, orders.created_at, given.removed_at
), dropped AS (
    INSERT INTO dropped_months (month, orders, partition, begun_at, dropped_at, published_at)
    SELECT date_trunc('month', created_at, 'UTC'), count(*), 0, to_timestamp(0), max(removed_at), max(removed_at)
    FROM removed GROUP BY 1
    ON CONFLICT (month) DO UPDATE SET
        orders = dropped_months.orders + excluded.orders,
        dropped_at = greatest(dropped_months.dropped_at, excluded.dropped_at),
        published_at = greatest(dropped_months.published_at, excluded.published_at)
), forgotten AS (
    DELETE FROM restored_orders USING removed WHERE restored_orders.order_id = removed.order_id
)
SELECT count(*) FROM removed;

-- name: restore_lacks_metadata
SELECT EXISTS (SELECT FROM restored_orders WHERE NOT has_metadata);

-- name: restore_metadata
-- From the orders as they were sent; of a repeat with other metadata the first one counts.
WITH given AS MATERIALIZED (
    SELECT given.order_id, metadata, known.created_at, known.fingerprint
    FROM json_to_recordset(%(batch)s::json) AS given (order_id uuid, fingerprint text, metadata jsonb)
    JOIN restored_orders AS lacking ON lacking.order_id = given.order_id AND NOT has_metadata
    JOIN order_keys AS known
        ON known.order_id = given.order_id AND known.fingerprint = decode(given.fingerprint, 'base64')
), written AS (
    UPDATE orders SET metadata = given.metadata
    FROM given WHERE orders.order_id = given.order_id AND orders.created_at = given.created_at
      AND orders.fingerprint = given.fingerprint
    RETURNING orders.order_id
), done AS (
    UPDATE restored_orders SET has_metadata = true
    FROM written WHERE restored_orders.order_id = written.order_id
    RETURNING 1
)
SELECT count(*) FROM done;

-- name: restore_counts
SELECT json_build_object(
    'restored', count(*) FILTER (WHERE was_lacking),
    'newer', count(*) FILTER (WHERE NOT was_lacking),
    'no_metadata', count(*) FILTER (WHERE NOT has_metadata),
    'no_reasons', count(*) FILTER (WHERE NOT has_reasons)
)::text
FROM restored_orders;

-- name: restore_end
-- Workers go on from here.
WITH ended AS (DELETE FROM restored_orders)
UPDATE taken_back SET restored_at = now() WHERE report = ANY (%(reports)s::uuid[]) RETURNING 1;
