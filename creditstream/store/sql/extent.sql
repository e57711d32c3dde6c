-- PostgreSQL: of how many partitions `orders` is, and how many blocks the largest of them has.
SELECT json_build_object(
    'partitions', count(*),
    'blocks', coalesce(max(pg_relation_size(inhrelid) / current_setting('block_size')::bigint), 0)
)::text
FROM pg_inherits WHERE inhparent = 'orders'::regclass;
