-- A database that was taken back: a restore to an earlier moment, a fail-over that lost the last commits.

-- Who noticed it, and when `restore` had brought back what was published. While one row has no restored_at, no worker
-- commits or looks up anything.
CREATE TABLE taken_back (
    report      uuid PRIMARY KEY,
    noticed_by  text NOT NULL,
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    restored_at timestamptz
);

-- What `restore` has written since it was begun, until it has come to its end. No personal data.
CREATE TABLE restored_orders (
    order_id     uuid PRIMARY KEY,
    was_lacking  boolean NOT NULL,
    has_metadata boolean NOT NULL,
    has_reasons  boolean NOT NULL
);

-- Whether one of `marks` is not here: a commit that somebody had an answer to, or has published, as {order_id,
-- created_at, version, updated_at}. Of an order that is known to have been settled, and no more, the version is 0. With
-- `removed_at` it is an order whose row was gone by then. One index probe for each.
CREATE FUNCTION commits_are_missing(marks json) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    mark  record;
    known timestamptz;
    held  record;
BEGIN
    FOR mark IN
        SELECT * FROM json_to_recordset(marks) AS given (
            order_id uuid, created_at timestamptz, version int, updated_at timestamptz, removed_at timestamptz
        )
    LOOP
        SELECT created_at INTO known FROM order_keys WHERE order_id = mark.order_id;
        -- Planned with its values, so that no other month than the order's is locked: somebody may rewrite one.
        EXECUTE 'SELECT version, updated_at FROM orders WHERE order_id = $1 AND created_at = $2'
            INTO held USING mark.order_id, known;
        IF mark.removed_at IS NOT NULL THEN
            IF held.updated_at < mark.removed_at THEN
                RETURN true;
            END IF;
        ELSIF held.version > mark.version OR (held.version, held.updated_at) = (mark.version, mark.updated_at) THEN
            CONTINUE;
        ELSIF held.version IS NOT NULL THEN
            RETURN true;
        ELSIF known IS NULL AND NOT EXISTS (
            -- An id outlives its row, which was made with it; and what is known of its month outlives the id.
            SELECT FROM dropped_months
            WHERE month = date_trunc('month', mark.created_at, 'UTC')
              AND (mark.updated_at IS NULL OR dropped_at >= mark.updated_at)
        ) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;

-- Raises CS001 while `restore` has to run. `report`: this worker's own, or null; once it was answered, its marks are
-- what `restore` could not bring back: nobody was told of it.
CREATE FUNCTION require_commits(marks json, report uuid) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM taken_back WHERE restored_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'CS001', MESSAGE = 'restore has not run';
    END IF;
    IF EXISTS (SELECT FROM taken_back WHERE taken_back.report = require_commits.report) THEN
        RETURN;
    END IF;
    IF commits_are_missing(marks) THEN
        IF pg_is_in_recovery() THEN  -- it only lags: that says nothing of the primary
            RAISE read_only_sql_transaction USING MESSAGE = 'this is a standby';
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CS001', MESSAGE = 'commits are missing';
    END IF;
END
$$;
