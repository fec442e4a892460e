-- An account's mail. Row numbers are the objects' ids and are never reused (AUTOINCREMENT).
-- modseq: one counter per account; createseq: the modseq an object was created with.

CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    jmap_id INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    writer INTEGER NOT NULL,
    next_uidvalidity INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL,
    feed_floor INTEGER NOT NULL
);

CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    special_use TEXT NOT NULL DEFAULT '',
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL DEFAULT 1,
    createseq INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    countseq INTEGER NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    emails INTEGER NOT NULL DEFAULT 0,
    unread_emails INTEGER NOT NULL DEFAULT 0,
    threads INTEGER NOT NULL DEFAULT 0,
    unread_threads INTEGER NOT NULL DEFAULT 0,
    expunge_floor INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE subscription (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE thread (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    createseq INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    is_muted INTEGER NOT NULL DEFAULT 0
);

-- Every message-id a thread mentions, so that replies that come before their parent join it.
CREATE TABLE thread_ref (
    hash INTEGER NOT NULL,
    thread INTEGER NOT NULL REFERENCES thread,
    seen_unix INTEGER NOT NULL,
    PRIMARY KEY (hash, thread)
) WITHOUT ROWID;

CREATE TABLE thread_mailbox (
    thread INTEGER NOT NULL REFERENCES thread,
    mailbox INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    emails INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (thread, mailbox)
) WITHOUT ROWID;

CREATE TABLE email (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread INTEGER NOT NULL REFERENCES thread,
    delivery_id TEXT UNIQUE,
    size INTEGER NOT NULL,
    received_unix INTEGER NOT NULL,
    sent_unix INTEGER,
    createseq INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    memberseq INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    keywords TEXT NOT NULL DEFAULT '',
    message_id TEXT NOT NULL DEFAULT '',
    message_id_hash INTEGER NOT NULL DEFAULT 0,
    subject_base TEXT NOT NULL DEFAULT '',
    has_attachment INTEGER NOT NULL DEFAULT 0,
    preview TEXT NOT NULL DEFAULT '',
    summary BLOB NOT NULL,
    tree BLOB NOT NULL,
    envelope BLOB NOT NULL,
    bodystructure BLOB NOT NULL,
    reverse_path TEXT NOT NULL DEFAULT '',
    hello TEXT NOT NULL DEFAULT '',
    remote_ip TEXT NOT NULL DEFAULT '',
    facts BLOB NOT NULL DEFAULT x'',
    dead_modseq INTEGER
);
CREATE INDEX email_message_id ON email (message_id_hash);
CREATE INDEX email_subject ON email (subject_base, received_unix);
CREATE INDEX email_thread ON email (thread);
CREATE INDEX email_modseq ON email (modseq);
CREATE INDEX email_dead ON email (dead_modseq) WHERE dead_modseq IS NOT NULL;

-- Where an email is: one row per copy.
CREATE TABLE placement (
    mailbox INTEGER NOT NULL REFERENCES mailbox,
    uid INTEGER NOT NULL,
    email INTEGER NOT NULL REFERENCES email,
    flags INTEGER NOT NULL,
    keywords TEXT NOT NULL DEFAULT '',
    createseq INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    saved_unix INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
CREATE INDEX placement_email ON placement (email);
CREATE INDEX placement_modseq ON placement (mailbox, modseq);

-- What is gone (key columns first: SQLite 3.40's integrity_check misreads other orders): for QRESYNC per mailbox, and for every object type's changes.
CREATE TABLE expunged (
    mailbox INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    email INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, uid)
) WITHOUT ROWID;

CREATE TABLE tombstone (
    type TEXT NOT NULL,
    modseq INTEGER NOT NULL,
    id INTEGER NOT NULL,
    createseq INTEGER NOT NULL,
    PRIMARY KEY (type, modseq, id)
) WITHOUT ROWID;

-- The last modseq that touched each type of object.
CREATE TABLE type_state (
    type TEXT PRIMARY KEY,
    modseq INTEGER NOT NULL
) WITHOUT ROWID;

-- Keywords in use in a mailbox, in the order they appeared.
CREATE TABLE keyword (
    mailbox INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (mailbox, name)
) WITHOUT ROWID;

-- Message bytes. key, nonce and tag have room for encryption at rest.
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
