-- PostgreSQL: those ids that have no row. A statement of its own, planned after the ids were seen: one that was planned
-- before a month's partition came does not look into it.
SELECT coalesce(json_agg(order_id), '[]')::text
FROM unnest(%(ids)s::uuid[]) AS given (order_id)
WHERE NOT EXISTS (SELECT FROM orders WHERE orders.order_id = given.order_id);
