-- Signatures of heads, and what the audit stream has yet to tell. Neither is part of a chain: a seal stands for itself.

CREATE TABLE seals (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run       TEXT    NOT NULL,
    entry     INTEGER NOT NULL,         -- the entry of the ledger that it vouches for
    hash      TEXT    NOT NULL,         -- that entry's hash
    at        TEXT    NOT NULL,         -- RFC 3339, UTC
    statement TEXT    NOT NULL,         -- what was to be signed, to the letter
    signature TEXT,                     -- armoured (PROTOCOL.sshsig); none: it could not be made
    why       TEXT                      -- why it could not
) STRICT;
CREATE INDEX seals_of_run ON seals (run, id);

CREATE TABLE untold (
    run  TEXT    NOT NULL PRIMARY KEY,
    told INTEGER NOT NULL               -- its last event that the audit stream has
) STRICT, WITHOUT ROWID;
