-- Words of the junk filter in pages instead of a row each (src/junk/page.c). Learning begins anew: that is done from
-- the flags when the account is opened next.
DROP TABLE junk_word;
CREATE TABLE junk_page (
    first INTEGER PRIMARY KEY,
    words BLOB NOT NULL
);
DELETE FROM junk_state;
DELETE FROM junk_due;
UPDATE email_state SET learnt = 0 WHERE learnt <> 0;
