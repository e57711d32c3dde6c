-- PostgreSQL, the primary: what there is of those orders now. `unpublished`: what a forget or a retention has changed,
-- and not yet published. `at_work`: one of them is.
SET LOCAL timezone = 'UTC';
DO $$ BEGIN
    IF pg_is_in_recovery() THEN
        RAISE read_only_sql_transaction USING MESSAGE = 'this is a standby';
    END IF;
END $$;
WITH rows AS MATERIALIZED (
    SELECT
        order_id, customer_id, amount, term_months, product, status, score, reason, model_version, policy_version,
        created_at, updated_at, version, encode(fingerprint, 'base64') AS fingerprint
    FROM orders WHERE order_id = ANY (%(ids)s::uuid[])
), removed AS MATERIALIZED (
    SELECT order_id, published_at
    FROM order_keys AS known JOIN dropped_months ON month = date_trunc('month', created_at, 'UTC')
    WHERE order_id = ANY (%(ids)s::uuid[]) AND NOT EXISTS (SELECT FROM rows WHERE rows.order_id = known.order_id)
)
SELECT json_build_object(
    'rows', (SELECT coalesce(json_agg(rows), '[]') FROM rows),
    'removed', (SELECT coalesce(json_agg(order_id), '[]') FROM removed),
    'unpublished', (
        SELECT coalesce(json_agg(order_id), '[]') FROM (
            SELECT order_id FROM forgotten_unpublished WHERE order_id = ANY (%(ids)s::uuid[])
            UNION ALL
            SELECT order_id FROM removed WHERE published_at IS NULL
        ) AS changed
    ),
    'at_work', EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint = hashtext('creditstream')::bigint & 4294967295
          AND objid::bigint IN (
              hashtext('forget')::bigint & 4294967295, hashtext('retention')::bigint & 4294967295
          )
    )
)::text;
