-- The program's own role, owner of its database and of nothing else. Run again, it gives the role the password of now.
-- Name and password come as settings of the session: a statement with the password in clear would be in PostgreSQL's log.
DO $$
DECLARE
    program text := current_setting('setup.role');
BEGIN
    IF to_regrole(quote_ident(program)) IS NULL THEN
        EXECUTE format('CREATE ROLE %I LOGIN', program);
    END IF;
    EXECUTE format('ALTER ROLE %I PASSWORD %L', program, current_setting('setup.password'));
    -- RDS's administrator is no superuser: only a member may give something to the role.
    EXECUTE format('GRANT %I TO CURRENT_USER', program);
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), program);
END
$$;
