-- Whom an account has sent to, for its limits (mox-smtp-delivery.md 1.11): every recipient of the last
-- day, and since when each address has been written to at all.
CREATE TABLE sent (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    sent_unix INTEGER NOT NULL
);
CREATE INDEX sent_account ON sent (account, sent_unix);

CREATE TABLE correspondent (
    account TEXT NOT NULL,
    recipient TEXT NOT NULL,
    first_unix INTEGER NOT NULL,
    PRIMARY KEY (account, recipient)
) WITHOUT ROWID;
CREATE INDEX correspondent_first ON correspondent (account, first_unix);
