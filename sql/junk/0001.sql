-- A junk filter in a file of its own, for mox junk; the same tables as in an account.
CREATE TABLE junk_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key0 INTEGER NOT NULL,
    key1 INTEGER NOT NULL,
    settings TEXT NOT NULL,
    ham INTEGER NOT NULL,
    spam INTEGER NOT NULL
);
CREATE TABLE junk_word (
    hash INTEGER PRIMARY KEY,
    ham INTEGER NOT NULL,
    spam INTEGER NOT NULL
);
