-- What was delivered, so that it is delivered once and not sent again. A place is one sender's files
-- in one folder.
CREATE TABLE places (
    id       INTEGER PRIMARY KEY,
    identity BLOB NOT NULL,
    dest     BLOB NOT NULL,
    UNIQUE (identity, dest)
) STRICT;

-- Files that one commit of a transfer gives their names. `ended` (seconds and nanoseconds since 1970)
-- is later than all that it did; none says that a crash may have cut it short.
CREATE TABLE batches (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    place       INTEGER NOT NULL,
    transfer    BLOB NOT NULL,
    at          INTEGER NOT NULL,
    ended_secs  INTEGER,
    ended_nanos INTEGER
) STRICT;

CREATE INDEX batches_transfer ON batches (place, transfer);

-- One file or link: `path` as the sender calls it, `final` as it is called here. It was delivered if,
-- under that name, there is or was this inode.
CREATE TABLE deliveries (
    place  INTEGER NOT NULL,
    path   BLOB NOT NULL,
    batch  INTEGER NOT NULL,
    final  BLOB NOT NULL,
    kind   INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    secs   INTEGER NOT NULL,
    nanos  INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    device INTEGER,
    inode  INTEGER,
    PRIMARY KEY (place, path, batch)
) STRICT, WITHOUT ROWID;

-- What a sender's top folder is called here. Without an inode it may not have been made.
CREATE TABLE tops (
    place  INTEGER NOT NULL,
    top    BLOB NOT NULL,
    name   BLOB NOT NULL,
    device INTEGER,
    inode  INTEGER,
    PRIMARY KEY (place, top)
) STRICT, WITHOUT ROWID;
