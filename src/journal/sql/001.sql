-- The first journal. Nothing in `events` and `ledger` is ever changed; `runs` is what they say, kept for quick lists.

CREATE TABLE events (
    run  TEXT    NOT NULL,
    seq  INTEGER NOT NULL,
    at   TEXT    NOT NULL,              -- RFC 3339, UTC
    kind TEXT    NOT NULL,
    json TEXT    NOT NULL,
    prev TEXT    NOT NULL,              -- the hash of the event before it; empty for the first
    hash TEXT    NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    seq  INTEGER NOT NULL PRIMARY KEY,
    run  TEXT    NOT NULL,
    head INTEGER NOT NULL,              -- the event that was the run's last one then
    hash_of_head TEXT NOT NULL,
    prev TEXT    NOT NULL,
    hash TEXT    NOT NULL
) STRICT;
CREATE INDEX ledger_of_run ON ledger (run);

CREATE TABLE runs (
    run       TEXT    NOT NULL PRIMARY KEY,
    head      INTEGER NOT NULL,
    hash      TEXT    NOT NULL,
    runbook   TEXT    NOT NULL,
    operator  TEXT    NOT NULL,
    machine   TEXT    NOT NULL,
    began     TEXT    NOT NULL,
    ended     TEXT,
    outcome   TEXT,
    exit_code INTEGER,
    changed   INTEGER NOT NULL DEFAULT 0,
    owed      INTEGER NOT NULL DEFAULT 0,
    locked    INTEGER                   -- its last `locked` event
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_open  ON runs (run) WHERE ended IS NULL OR outcome IN ('unknown', 'stopped');
CREATE INDEX runs_owing ON runs (run) WHERE owed > 0;
CREATE INDEX runs_of_runbook ON runs (runbook, run);

CREATE TABLE payments (
    owing TEXT NOT NULL,                -- the run that owed it
    debt  TEXT NOT NULL,
    run   TEXT NOT NULL,                -- the run that paid it
    PRIMARY KEY (owing, debt)
) STRICT, WITHOUT ROWID;

CREATE TABLE contents (
    hash  TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;
