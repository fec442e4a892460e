-- Messages of this server's own have names, by which one that was given twice is known. They are kept for a while.
CREATE TABLE named (
    name TEXT PRIMARY KEY,
    queued_unix INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX named_queued ON named (queued_unix);
