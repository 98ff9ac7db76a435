-- Whether a contact may replace what they sent before.
ALTER TABLE contacts ADD COLUMN overwrite INTEGER NOT NULL DEFAULT 0;
