-- People: a contact is (server, name, identity); the identity is pinned.
CREATE TABLE contacts (
    server   TEXT NOT NULL,
    name     TEXT NOT NULL,
    identity BLOB NOT NULL,
    verified INTEGER NOT NULL DEFAULT 0,
    accept   TEXT NOT NULL,
    dest_dir TEXT,
    max_size INTEGER,
    warning  TEXT,
    PRIMARY KEY (server, name)
) STRICT;

-- Transfers, running and finished. `view` is what is shown of one (JSON of the control protocol),
-- `sources` what an outgoing one was asked to send, `final` whether it has ended.
CREATE TABLE transfers (
    id       BLOB PRIMARY KEY,
    incoming INTEGER NOT NULL,
    identity BLOB,
    final    INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    view     TEXT NOT NULL,
    sources  TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE INDEX transfers_at ON transfers (at);

-- Requests that wait for a person. `view` and `entries` are JSON of the control protocol.
CREATE TABLE requests (
    id       BLOB PRIMARY KEY,
    identity BLOB NOT NULL,
    name     TEXT NOT NULL,
    view     TEXT NOT NULL,
    entries  TEXT NOT NULL
) STRICT;
