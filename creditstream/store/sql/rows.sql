-- PostgreSQL: the rows in so many blocks of each partition, as one JSON value. In the order of the disk: that of the ids
-- would read a block for each row.
SET LOCAL timezone = 'UTC';
SELECT coalesce(json_agg(page), '[]')::text
FROM (
    SELECT
        order_id, customer_id, amount, term_months, product, status, score, reason, model_version, policy_version,
        created_at, updated_at, version, encode(fingerprint, 'base64') AS fingerprint
    FROM orders
    WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid
) AS page;
