-- Messages of this server's own have names, by which one that was given twice is known. They are kept for a while.
CREATE TABLE named (
    name TEXT PRIMARY KEY,
    queued_unix INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX named_queued ON named (queued_unix);

-- Messages that differ in their return paths alone have the bytes of one of them, whose id this is, also when that has
-- gone. 0: its own.
ALTER TABLE message ADD COLUMN body INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_body ON message (body) WHERE body > 0;
