-- Reports by mail, from when they were written until the queue has them. name: by which it knows one that it has.
CREATE TABLE letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    is_tls INTEGER NOT NULL,
    domain TEXT NOT NULL, -- that it is about
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL, -- a line each
    created_unix INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_unix INTEGER NOT NULL,
    size INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX letter_next ON letter (next_unix);

-- Of a report that is being sent to a web server: after a crash nobody knows whether that has it.
ALTER TABLE web_report ADD COLUMN is_begun INTEGER NOT NULL DEFAULT 0;
