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
