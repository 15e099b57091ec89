-- What ticket systems are to be told: a row is written with its event, and marked once a ticket system has it.

CREATE TABLE outbox (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run       TEXT    NOT NULL,
    seq       INTEGER NOT NULL,         -- the event; its text is made from the run's events up to it
    tries     INTEGER NOT NULL DEFAULT 0,
    failed    TEXT,                     -- why the last try was in vain
    delivered TEXT,                     -- when; none: it waits
    UNIQUE (run, seq)
) STRICT;
CREATE INDEX outbox_waiting ON outbox (id) WHERE delivered IS NULL;

CREATE TABLE tickets (
    run    TEXT NOT NULL PRIMARY KEY,
    system TEXT NOT NULL,               -- which one, so that an id of another is never taken for its own
    ticket TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tickets_by_id ON tickets (ticket);
