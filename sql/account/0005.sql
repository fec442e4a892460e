-- The junk filter. Words are keyed hashes (src/junk/learn.c); settings: what the words were made with.
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
-- How an email is learnt: 0 not, 1 ham, 2 spam; and those whose flags say otherwise by now.
ALTER TABLE email_state ADD COLUMN learnt INTEGER NOT NULL DEFAULT 0;
CREATE TABLE junk_due (
    email INTEGER PRIMARY KEY REFERENCES email ON DELETE CASCADE
);
