-- Messages accepted for delivery. One message, one entry per recipient still to be served.
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    reverse_path TEXT NOT NULL,
    queued_unix INTEGER NOT NULL,
    size INTEGER NOT NULL,
    is_8bit INTEGER NOT NULL,
    is_smtputf8 INTEGER NOT NULL,
    require_tls INTEGER NOT NULL
);

CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message INTEGER NOT NULL REFERENCES message,
    recipient TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_unix INTEGER NOT NULL,
    last_attempt_unix INTEGER,
    last_error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX entry_next ON entry (next_attempt_unix);
CREATE INDEX entry_message ON entry (message);

CREATE TABLE chunk (
    owner INTEGER NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    key INTEGER NOT NULL DEFAULT 0,
    nonce BLOB,
    tag BLOB,
    bytes BLOB NOT NULL,
    PRIMARY KEY (owner, number)
);
