-- Months that were dropped, and customers that were forgotten. Neither holds personal data.

-- A month whose rows are removed: begun, then dropped, then tombstones on order-status published. Its ids in order_keys
-- outlast it, for a time of their own from dropped_at on.
CREATE TABLE dropped_months (
    month        timestamptz PRIMARY KEY,
    orders       bigint NOT NULL,
    partition    oid NOT NULL,
    begun_at     timestamptz NOT NULL DEFAULT now(),
    dropped_at   timestamptz,
    published_at timestamptz
);

-- Who had a customer's data removed, and when. `request` is random: a hash of the customer's id would lead back to it.
CREATE TABLE forget_requests (
    request      uuid PRIMARY KEY,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    orders       bigint NOT NULL DEFAULT 0,
    letters      bigint NOT NULL DEFAULT 0,
    finished_at  timestamptz
);

-- Forgotten orders whose new status is not on order-status yet.
CREATE TABLE forgotten_unpublished (order_id uuid PRIMARY KEY);

-- As before, but a table that retention has detached and not dropped yet makes way: an order of that month can come.
CREATE OR REPLACE FUNCTION ensure_orders_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    first     timestamptz := date_trunc('month', moment, 'UTC');
    next      timestamptz := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    partition text        := 'orders_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF is_orders_partition(partition) THEN
        RETURN false;
    END IF;
    -- Two workers at once: the second waits here, then finds the table. ATTACH takes this lock anyway; an advisory lock
    -- would leave the second one with its cached answer that there is no such table.
    LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE;
    IF is_orders_partition(partition) THEN
        RETURN false;
    END IF;
    IF to_regclass(format('%I', partition)) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', partition, detached_name(partition));
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE orders INCLUDING ALL)', partition);
    EXECUTE format('ALTER TABLE orders ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, first, next);
    RETURN true;
END
$$;

CREATE FUNCTION is_orders_partition(partition text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'orders'::regclass AND inhrelid = to_regclass(format('%I', partition))
    )
$$;

-- Never the name of another one: the same month may be detached again before the first was dropped.
CREATE FUNCTION detached_name(partition text) RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT 'detached_' || partition || '_' || substr(gen_random_uuid()::text, 1, 8)
$$;
