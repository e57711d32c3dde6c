-- A month whose drop was begun may have to be kept: an order may be written to it between the count and the detach.

-- `going`: of a drop that was begun and has not ended, how many orders were counted; else null.
-- `kept_at`: when a drop that was begun ended with the month kept.
ALTER TABLE dropped_months ADD COLUMN going bigint, ADD COLUMN kept_at timestamptz;

-- For a month whose drop was begun and whose table is detached, so that nobody can write to it any more. How many of
-- its orders were written since `cutoff`; 0 when the table is gone. If there are any, all its orders are kept: it is a
-- partition again, or they go to the one that has been made for a new order meanwhile.
CREATE FUNCTION keep_month(begun timestamptz, cutoff timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    first    timestamptz := date_trunc('month', begun, 'UTC');
    next     timestamptz := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    name     text        := 'orders_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
    detached regclass    := (
        SELECT pg_class.oid::regclass FROM dropped_months JOIN pg_class ON pg_class.oid = partition
        WHERE month = begun AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = pg_class.oid)
    );
    columns  text;
    written  bigint;
BEGIN
    IF detached IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT count(*) FROM %s WHERE updated_at >= $1', detached) INTO written USING cutoff;
    IF written = 0 THEN
        RETURN 0;
    END IF;
    -- As in ensure_orders_partition: no partition is made or taken from here on.
    LOCK TABLE ONLY orders IN SHARE UPDATE EXCLUSIVE MODE;
    BEGIN
        IF is_orders_partition(name) THEN
            RAISE check_violation;
        END IF;
        EXECUTE format('ALTER TABLE orders ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', detached, first, next);
    EXCEPTION WHEN check_violation THEN  -- also when a default partition has orders of this month by now
        SELECT string_agg(quote_ident(attname), ', ') INTO columns
        FROM pg_attribute WHERE attrelid = detached AND attnum > 0 AND NOT attisdropped;
        EXECUTE format('INSERT INTO orders (%1$s) SELECT %1$s FROM %2$s', columns, detached);
        EXECUTE format('DROP TABLE %s', detached);
    END;
    UPDATE dropped_months SET going = NULL, kept_at = clock_timestamp() WHERE month = begun;
    RETURN written;
END
$$;

-- As before, but only the parent is locked. Without ONLY the lock is on every partition too, and a VACUUM of any of them
-- keeps a new month, and the orders that wait for it, away for as long as it lasts.
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
    LOCK TABLE ONLY orders IN SHARE UPDATE EXCLUSIVE MODE;
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
