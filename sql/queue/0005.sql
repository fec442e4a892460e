-- What an attempt at another server, a report to the sender and a person at the queue need to know.

-- origin: 0 submitted by an account, 1 from port 25, 2 a report of our own. is_sender_real: the reverse
-- path is known to be the sender's. ret (0 not said, 1 full, 2 headers) and envid: RFC 3461.
ALTER TABLE message ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN is_sender_real INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN message_id TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN ret INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN envid TEXT NOT NULL DEFAULT '';
-- How long what became of it is kept, seconds.
ALTER TABLE message ADD COLUMN keep_retired_s INTEGER NOT NULL DEFAULT 0;
-- How many of its entries are left; with the last one it goes.
ALTER TABLE message ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
UPDATE message SET origin = (account = ''),
    entries = (SELECT count(*) FROM entry WHERE entry.message = message.id);

-- domain: of the recipient, in lower case; transport: as a person set it, empty: by the routes.
-- max_attempts 0: as usual. notify: bits of RFC 3461 4.1, 0 not said. dialed: the addresses of its hosts
-- that were tried, for deliver.
ALTER TABLE entry ADD COLUMN domain TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN transport TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN is_held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN require_tls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN orcpt TEXT NOT NULL DEFAULT '';
ALTER TABLE entry ADD COLUMN is_delay_told INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN dialed TEXT NOT NULL DEFAULT '';
UPDATE entry SET
    domain = lower(CASE WHEN instr(recipient, '@')
                        THEN replace(recipient, rtrim(recipient, replace(recipient, '@', '')), '')
                        ELSE '' END),
    require_tls = (SELECT require_tls FROM message WHERE message.id = entry.message);

-- What became of each attempt, of entries and of retired ones.
CREATE TABLE result (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry INTEGER NOT NULL,
    started_unix INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    is_success INTEGER NOT NULL,
    code INTEGER NOT NULL,
    enhanced TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX result_entry ON result (entry);

-- Entries that are done with, as long as their account keeps them. id and message are those they had.
CREATE TABLE retired (
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    account TEXT NOT NULL,
    reverse_path TEXT NOT NULL,
    recipient TEXT NOT NULL,
    base_address TEXT NOT NULL, -- as in suppression
    message_id TEXT NOT NULL,
    envid TEXT NOT NULL,
    transport TEXT NOT NULL,
    require_tls INTEGER NOT NULL,
    future_release TEXT NOT NULL,
    size INTEGER NOT NULL,
    queued_unix INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    is_success INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    last_activity_unix INTEGER NOT NULL,
    keep_until_unix INTEGER NOT NULL
);
CREATE INDEX retired_keep ON retired (keep_until_unix);
CREATE INDEX retired_address ON retired (account, base_address, last_activity_unix);

-- Recipients an account's mail is not tried for any more (mox-smtp-delivery.md 3.8).
CREATE TABLE suppression (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    base_address TEXT NOT NULL,
    address TEXT NOT NULL,
    is_manual INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_unix INTEGER NOT NULL,
    UNIQUE (account, base_address)
);

-- What is not to be tried until a person says so; an empty field matches everything.
CREATE TABLE hold_rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    sender_domain TEXT NOT NULL,
    recipient_domain TEXT NOT NULL
);
