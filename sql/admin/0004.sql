-- The newest version of this program that the postmaster has been told of ('' for none), and when it was looked for.
CREATE TABLE update_check (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    known TEXT NOT NULL,
    checked_unix INTEGER NOT NULL
);
INSERT INTO update_check (only, known, checked_unix) VALUES (1, '', 0);
