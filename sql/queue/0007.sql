-- What is due is found without a look at what is on hold, however much that is.
DROP INDEX entry_next;
CREATE INDEX entry_next ON entry (next_attempt_unix, id, is_held);
