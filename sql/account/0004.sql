-- What is known of how a message came from outside: for deciding about the next one of its sender.
-- mailbox: the one it counts for; destined: where it was meant to go while it lies in Rejects or the
-- Introbox, else 0. judged: 0 no, 1 not junk, 2 junk. signs: what it is found by once it is judged, see
-- src/store/reputation.c. digest: SHA-256 of the bytes received, of messages that were refused.
CREATE TABLE origin (
    email INTEGER PRIMARY KEY REFERENCES email ON DELETE CASCADE,
    mailbox INTEGER NOT NULL,
    destined INTEGER NOT NULL,
    is_reject INTEGER NOT NULL,
    judged INTEGER NOT NULL,
    received_unix INTEGER NOT NULL,
    signs BLOB NOT NULL,
    digest BLOB
);
CREATE INDEX origin_digest ON origin (digest) WHERE digest IS NOT NULL;

-- Judged messages by what their sender is known by: the newest of a sign are next to each other.
CREATE TABLE sign (
    mailbox INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    received_unix INTEGER NOT NULL,
    email INTEGER NOT NULL,
    is_junk INTEGER NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (mailbox, kind, value, received_unix, email)
) WITHOUT ROWID;

-- How much came from a network in which minute, for the limits.
CREATE TABLE arrival (
    network TEXT NOT NULL,
    minute INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (network, minute)
) WITHOUT ROWID;

-- Whom the user has written to, and when last. domain: its labels in reverse ("org.example."), so that
-- a domain and what is below it are next to each other.
CREATE TABLE correspondent (
    domain TEXT NOT NULL,
    localpart TEXT NOT NULL,
    sent_unix INTEGER NOT NULL,
    PRIMARY KEY (domain, localpart)
) WITHOUT ROWID;

-- Keys of the tokens that let a refused sender through, by recipient.
CREATE TABLE subjectpass (
    address TEXT PRIMARY KEY,
    key TEXT NOT NULL
) WITHOUT ROWID;
