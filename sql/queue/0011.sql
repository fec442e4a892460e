-- What was taken over from another server's queue (mox import upstream), as it was known there: each once, also when
-- that queue is looked at again after this one has delivered it.
CREATE TABLE taken_over (
    number INTEGER NOT NULL,
    queued_unix INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    PRIMARY KEY (number, queued_unix, recipient)
) WITHOUT ROWID;
