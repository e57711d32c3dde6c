-- PostgreSQL: the next page of rows after an id and its time, as one JSON value.
SET LOCAL timezone = 'UTC';
SELECT coalesce(json_agg(page), '[]')::text
FROM (
    SELECT
        order_id, customer_id, amount, term_months, product, status, score, reason, model_version, policy_version,
        created_at, updated_at, version, encode(fingerprint, 'base64') AS fingerprint
    FROM orders
    WHERE (order_id, created_at) > (%(order_id)s::uuid, %(created_at)s::timestamptz)
    ORDER BY order_id, created_at
    LIMIT %(limit)s
) AS page;
