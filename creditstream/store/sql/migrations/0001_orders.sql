-- Orders, partitioned by month of created_at (UTC), and the uniqueness of ids that a partitioned table cannot give.

CREATE TABLE order_keys (
    order_id    uuid PRIMARY KEY,
    created_at  timestamptz NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16)
);

CREATE TABLE orders (
    order_id       uuid NOT NULL,
    customer_id    text NOT NULL,
    amount         numeric(14, 2) NOT NULL CHECK (amount > 0),
    term_months    int NOT NULL CHECK (term_months > 0),
    product        text NOT NULL,
    status         text NOT NULL CHECK (status IN ('under_review', 'approved', 'rejected')),
    score          int CHECK (score BETWEEN 0 AND 1000),
    reason         text NOT NULL,
    reasons        jsonb NOT NULL DEFAULT '[]',
    model_version  text,
    policy_version text,
    metadata       jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    version        int NOT NULL CHECK (version > 0),
    fingerprint    bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
    PRIMARY KEY (order_id, created_at),
    CHECK (status = 'under_review' OR score IS NOT NULL)
) PARTITION BY RANGE (created_at);

-- The newest orders, and (index only) today's counts by status.
CREATE INDEX orders_by_time ON orders (created_at DESC, order_id DESC) INCLUDE (status);
-- The newest orders of one status, and those between two times.
CREATE INDEX orders_by_status ON orders (status, created_at DESC, order_id DESC);
-- One customer's orders, newest first.
CREATE INDEX orders_by_customer ON orders (customer_id, created_at DESC, order_id DESC);

-- Makes the partition of the month in which `moment` lies. CREATE and ATTACH, because PARTITION OF would lock out
-- every reader and writer of `orders` meanwhile. True when it was missing.
CREATE FUNCTION ensure_orders_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    first     timestamptz := date_trunc('month', moment, 'UTC');
    next      timestamptz := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    partition text        := 'orders_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(format('%I', partition)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Two workers at once: the second waits here, then finds the table. ATTACH takes this lock anyway; an advisory lock
    -- would leave the second one with its cached answer that there is no such table.
    LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(format('%I', partition)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE orders INCLUDING ALL)', partition);
    EXECUTE format('ALTER TABLE orders ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, first, next);
    RETURN true;
END
$$;
