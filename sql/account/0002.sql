-- What changes of an email, apart from what never does: a new flag then writes a few bytes, and not
-- the row with its envelope and structure. keywords: of all its copies; flags: of its copies together.
CREATE TABLE email_state (
    id INTEGER PRIMARY KEY REFERENCES email ON DELETE CASCADE,
    flags INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    modseq INTEGER NOT NULL,
    memberseq INTEGER NOT NULL,
    dead_modseq INTEGER
);
INSERT INTO email_state (id, flags, keywords, modseq, memberseq, dead_modseq)
    SELECT id, flags, keywords, modseq, memberseq, dead_modseq FROM email;
CREATE INDEX email_state_modseq ON email_state (modseq);
CREATE INDEX email_state_dead ON email_state (dead_modseq) WHERE dead_modseq IS NOT NULL;
-- What is expunged takes no room any more, though its bytes may stay for a while.
UPDATE account SET used_bytes = (SELECT coalesce(sum(size), 0) FROM email WHERE dead_modseq IS NULL);
DROP INDEX email_modseq;
DROP INDEX email_dead;
ALTER TABLE email DROP COLUMN flags;
ALTER TABLE email DROP COLUMN keywords;
ALTER TABLE email DROP COLUMN modseq;
ALTER TABLE email DROP COLUMN memberseq;
ALTER TABLE email DROP COLUMN dead_modseq;

-- When which modseq was reached, for keeping history by age.
CREATE TABLE modseq_day (
    day INTEGER PRIMARY KEY,
    modseq INTEGER NOT NULL
);
