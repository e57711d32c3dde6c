-- A month whose drop was begun may have to be kept: an order may be written to it between the count and the detach.

-- `going`: of a drop that was begun and has not ended, how many orders were counted; else null.
ALTER TABLE dropped_months ADD COLUMN going bigint;

CREATE FUNCTION orders_partition(moment timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT to_char(moment AT TIME ZONE 'UTC', '"orders_"YYYY_MM')
$$;

-- By its name: a month's partition, or one that has made way for another.
CREATE FUNCTION is_table_of(name text, month timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT name = orders_partition(month) OR starts_with(name, 'detached_' || orders_partition(month) || '_')
$$;

-- The table of a month whose drop was begun, if it is a partition no more. Its name is looked at too: after a dump and
-- restore the number may be another table's.
CREATE FUNCTION detached_table(begun timestamptz) RETURNS regclass
LANGUAGE sql STABLE AS $$
    SELECT pg_class.oid::regclass FROM dropped_months JOIN pg_class ON pg_class.oid = partition
    WHERE month = begun AND is_table_of(relname, begun)
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = pg_class.oid)
$$;

-- The detached table of such a month gets a name that nobody takes. Before, a worker may give its name to a new
-- partition at any time, and whoever counts or drops by the name has the new one.
CREATE FUNCTION set_aside(begun timestamptz) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    partition text := orders_partition(begun);
BEGIN
    LOCK TABLE ONLY orders IN SHARE UPDATE EXCLUSIVE MODE;  -- as in ensure_orders_partition
    IF detached_table(begun) = to_regclass(format('%I', partition)) THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', partition, detached_name(partition));
    END IF;
END
$$;

-- For a month that is set aside: nobody can write to its table any more. How many of its orders were written since
-- `cutoff`; 0 when the table is gone. If there are any, all its orders are kept: it is a partition again, or they go to
-- the one that has been made for a new order meanwhile.
CREATE FUNCTION keep_month(begun timestamptz, cutoff timestamptz) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    first     timestamptz := date_trunc('month', begun, 'UTC');
    next      timestamptz := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    partition text        := orders_partition(begun);
    detached  regclass    := detached_table(begun);
    columns   text;
    written   bigint;
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
        IF to_regclass(format('%I', partition)) IS NOT NULL THEN
            RAISE check_violation;
        END IF;
        EXECUTE format('ALTER TABLE orders ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', detached, first, next);
        EXECUTE format('ALTER TABLE %s RENAME TO %I', detached, partition);
    -- A default partition may have orders of this month by now, and `orders` other columns.
    EXCEPTION WHEN check_violation OR datatype_mismatch THEN
        BEGIN
            PERFORM ensure_orders_partition(first);
        EXCEPTION WHEN check_violation THEN  -- the default one
        END;
        SELECT string_agg(quote_ident(its.attname), ', ') INTO columns
        FROM pg_attribute AS its JOIN pg_attribute AS present USING (attname)
        WHERE its.attrelid = detached AND its.attnum > 0 AND NOT its.attisdropped
          AND present.attrelid = 'orders'::regclass AND NOT present.attisdropped AND present.attgenerated = '';
        EXECUTE format('INSERT INTO orders (%1$s) SELECT %1$s FROM %2$s', columns, detached);
        EXECUTE format('DROP TABLE %s', detached);
    END;
    -- Unless a drop ended before this one was begun, nothing has to be remembered. When it did, the version before may
    -- have overwritten.
    DELETE FROM dropped_months WHERE month = begun AND orders = 0 AND dropped_at IS NULL;
    UPDATE dropped_months SET going = NULL, dropped_at = coalesce(dropped_at, begun_at - interval '1 second') WHERE month = begun;
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
