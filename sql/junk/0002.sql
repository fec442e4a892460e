-- Words in pages instead of a row each (src/junk/page.c). What was learnt before is learnt anew.
DROP TABLE junk_word;
CREATE TABLE junk_page (
    first INTEGER PRIMARY KEY,
    words BLOB NOT NULL
);
DELETE FROM junk_state;
