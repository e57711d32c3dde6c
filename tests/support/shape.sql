-- What a database is but for its rows, as one number: who may do what included. Names, no oids.
SELECT md5(string_agg(line, E'\n' ORDER BY line))
FROM (
    SELECT concat_ws(
        ' ', 'relation', relnamespace::regnamespace, relname, relkind, relpersistence, relowner::regrole, relacl,
        reloptions, relispartition, relrowsecurity, pg_get_expr(relpartbound, pg_class.oid)
    ) AS line
    FROM pg_class WHERE relnamespace::regnamespace::text !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT concat_ws(
        ' ', 'column', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attacl,
        attstattarget, attcompression, attisdropped, pg_get_expr(adbin, adrelid)
    )
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid, indisready)
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgenabled, pg_get_triggerdef(oid))
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'rule', pg_get_ruledef(pg_rewrite.oid))
    FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(
        ' ', 'function', oid::regprocedure, proowner::regrole, proacl, proconfig, prosecdef, provolatile, prosrc
    )
    FROM pg_proc
    UNION ALL
    SELECT concat_ws(' ', 'type', typname, typtype, typowner::regrole, typacl)
    FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'schema', nspname, nspowner::regrole, nspacl)
    FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT concat_ws(' ', 'policy', policies.*::text) FROM pg_policies AS policies
    UNION ALL
    SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
    UNION ALL
    SELECT concat_ws(' ', 'event trigger', evtname) FROM pg_event_trigger
    UNION ALL
    SELECT concat_ws(' ', 'publication', pubname) FROM pg_publication
    UNION ALL
    SELECT concat_ws(' ', 'default rights', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl)
    FROM pg_default_acl
    UNION ALL
    SELECT concat_ws(' ', 'database', datdba::regrole, datallowconn, datconnlimit, datacl, setconfig, setrole)
    FROM pg_database LEFT JOIN pg_db_role_setting ON setdatabase = pg_database.oid
    WHERE datname = current_database()
    UNION ALL
    SELECT concat_ws(' ', 'migration', migrations.*::text) FROM schema_migrations AS migrations
) AS lines;
