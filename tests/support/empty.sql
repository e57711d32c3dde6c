-- As the template is: without partitions that it has not (the parameter: those it has), without rows but the
-- migrations', without what was learnt of them.
SET lock_timeout = '5s';
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN
        SELECT inhrelid FROM pg_inherits
        WHERE inhparent = 'orders'::regclass AND inhrelid::regclass::text <> ALL (%s)
    LOOP
        EXECUTE format('DROP TABLE %%s', partition);
    END LOOP;
    EXECUTE (
        SELECT format('TRUNCATE %%s RESTART IDENTITY', string_agg(oid::regclass::text, ','))
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname <> 'schema_migrations'
    );
    DELETE FROM pg_statistic USING pg_class WHERE oid = starelid AND relnamespace = 'public'::regnamespace;
    PERFORM pg_stat_reset();
END
$$;
