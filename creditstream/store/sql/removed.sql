-- PostgreSQL: the next page of orders that went with their month, as one JSON value. None while no month was dropped.
SELECT coalesce(json_agg(order_id), '[]')::text
FROM (
    SELECT order_id
    FROM order_keys AS known JOIN dropped_months ON month = date_trunc('month', created_at, 'UTC')
    WHERE order_id > %(order_id)s::uuid
      AND NOT EXISTS (
          SELECT FROM orders WHERE orders.order_id = known.order_id AND orders.created_at = known.created_at
      )
    ORDER BY order_id
    LIMIT %(limit)s
) AS page;
