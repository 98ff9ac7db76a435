-- What a transfer that is received could not keep, as it lies in a message of the peer protocol.
CREATE TABLE losses (
    place    INTEGER NOT NULL,
    transfer BLOB NOT NULL,
    at       INTEGER NOT NULL,
    losses   BLOB NOT NULL,
    PRIMARY KEY (place, transfer)
) STRICT, WITHOUT ROWID;
