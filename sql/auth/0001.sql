-- Who may log in.
CREATE TABLE credential (
    account TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    changed_unix INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE login_attempt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    first_unix INTEGER NOT NULL,
    last_unix INTEGER NOT NULL,
    count INTEGER NOT NULL,
    account TEXT NOT NULL,
    login TEXT NOT NULL,
    remote_ip TEXT NOT NULL,
    protocol TEXT NOT NULL,
    mechanism TEXT NOT NULL,
    result TEXT NOT NULL
);
CREATE INDEX login_attempt_account ON login_attempt (account, last_unix);
CREATE INDEX login_attempt_last ON login_attempt (last_unix);
