-- What a mailbox shows of each message is read without the message's own, large row.
ALTER TABLE placement ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE placement ADD COLUMN received_unix INTEGER NOT NULL DEFAULT 0;
ALTER TABLE placement ADD COLUMN thread INTEGER NOT NULL DEFAULT 0;
UPDATE placement SET (size, received_unix, thread) =
    (SELECT m.size, m.received_unix, m.thread FROM email m WHERE m.id = placement.email);

-- The fields of a header that are searched for most, see store/header.c. Messages from before have none.
CREATE TABLE header (
    email INTEGER PRIMARY KEY REFERENCES email ON DELETE CASCADE,
    fields BLOB NOT NULL
);
