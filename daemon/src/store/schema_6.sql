-- The device on which a contact was met last (see the protocol's device certificate): whom to find
-- without a server.
ALTER TABLE contacts ADD COLUMN certificate BLOB;
