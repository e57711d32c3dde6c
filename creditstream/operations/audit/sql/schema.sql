-- The scratch store, in SQLite: a topic of any size fits.
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;

CREATE TABLE records (
    part INTEGER, off INTEGER, id BLOB, fingerprint BLOB, reason TEXT,
    PRIMARY KEY (part, off)
) WITHOUT ROWID;
CREATE INDEX records_by_id ON records (id);

CREATE TABLE letters (part INTEGER, off INTEGER, reason TEXT, PRIMARY KEY (part, off)) WITHOUT ROWID;
CREATE TABLE other_letters (topic TEXT, part INTEGER, off INTEGER, reason TEXT, PRIMARY KEY (topic, part, off));

-- Reasons of letters about an order that has a row. `waits`: 1 of a row that waits for a person, 0 of one that did under
-- the reason of the release before, NULL of another order with the row's id.
CREATE TABLE letters_of_rows (reason TEXT PRIMARY KEY, waits INTEGER) WITHOUT ROWID;

CREATE TABLE rows (
    id BLOB, created_at TEXT, fingerprint BLOB, status TEXT, reason TEXT, published BLOB,
    PRIMARY KEY (id, created_at)
) WITHOUT ROWID;

-- Orders whose row went with its month: their id is still known.
CREATE TABLE removed (id BLOB PRIMARY KEY, fingerprint BLOB) WITHOUT ROWID;

-- `decided`: the decision alone, without whose it was.
CREATE TABLE statuses (
    id BLOB PRIMARY KEY, part INTEGER, version INTEGER, published BLOB, final BLOB, decided BLOB
) WITHOUT ROWID;
CREATE TABLE status_faults (fault TEXT, what TEXT, example TEXT);
