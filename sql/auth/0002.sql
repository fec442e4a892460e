-- What SCRAM and CRAM-MD5 check against, derived from the password when it is set, or at the next
-- login with it where only its hash is known.
ALTER TABLE credential ADD COLUMN cram_md5 BLOB; -- two states of HMAC-MD5, 32 bytes
CREATE TABLE scram (
    account TEXT NOT NULL,
    hash TEXT NOT NULL, -- "SHA-1", "SHA-256"
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    PRIMARY KEY (account, hash)
) WITHOUT ROWID;

-- Random values made at first use.
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- Keys of clients' certificates that log in to an account.
CREATE TABLE client_key (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint BLOB NOT NULL UNIQUE, -- SHA-256 of the SubjectPublicKeyInfo
    created_unix INTEGER NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    no_imap_preauth INTEGER NOT NULL,
    cert BLOB NOT NULL,
    account TEXT NOT NULL,
    login TEXT NOT NULL
);

ALTER TABLE login_attempt ADD COLUMN local_ip TEXT NOT NULL DEFAULT '';
ALTER TABLE login_attempt ADD COLUMN tls TEXT NOT NULL DEFAULT '';
ALTER TABLE login_attempt ADD COLUMN client_key TEXT NOT NULL DEFAULT '';
-- For keeping no more than so many failures of an account.
CREATE INDEX login_attempt_failed ON login_attempt (account, last_unix) WHERE result <> 'ok';
UPDATE login_attempt SET account = '-' WHERE account = '';
