-- The embedded desk: tickets, and what was said in them.

CREATE TABLE desk (
    name TEXT NOT NULL                  -- made once: an id of another desk is never taken for one of this
) STRICT;

CREATE TABLE tickets (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key     TEXT UNIQUE,                -- whom it was opened for; none: a person opened it
    subject TEXT NOT NULL,
    state   TEXT NOT NULL,
    kind    TEXT,
    queue   TEXT,
    author  TEXT NOT NULL,
    run     TEXT,
    opened  TEXT NOT NULL,              -- RFC 3339, UTC
    changed TEXT NOT NULL
) STRICT;
CREATE INDEX tickets_in_state ON tickets (state, id);
CREATE INDEX tickets_of_run ON tickets (run) WHERE run IS NOT NULL;

CREATE TABLE entries (
    id     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    ticket INTEGER NOT NULL REFERENCES tickets (id),
    key    TEXT,                        -- said once under it
    what   TEXT NOT NULL,               -- comment, state, attached, linked
    author TEXT NOT NULL,
    at     TEXT NOT NULL,
    text   TEXT NOT NULL,
    UNIQUE (ticket, key)
) STRICT;

CREATE TABLE attachments (
    entry  INTEGER NOT NULL PRIMARY KEY REFERENCES entries (id),
    ticket INTEGER NOT NULL REFERENCES tickets (id),
    name   TEXT NOT NULL,
    media  TEXT NOT NULL,
    bytes  BLOB NOT NULL
) STRICT;
CREATE INDEX attachments_of ON attachments (ticket, entry);

CREATE TABLE links (
    ticket INTEGER NOT NULL REFERENCES tickets (id),
    other  INTEGER NOT NULL REFERENCES tickets (id),
    PRIMARY KEY (ticket, other)
) STRICT, WITHOUT ROWID;

CREATE TABLE failures (
    fingerprint TEXT    NOT NULL,
    ticket      INTEGER NOT NULL REFERENCES tickets (id),
    key         TEXT    NOT NULL,
    at          TEXT    NOT NULL,
    PRIMARY KEY (fingerprint, ticket, key)
) STRICT, WITHOUT ROWID;
