-- What a transfer needs to go on after a restart and nobody is shown: JSON, see `store::plan`.
ALTER TABLE transfers ADD COLUMN plan TEXT NOT NULL DEFAULT '{}';
