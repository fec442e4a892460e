-- How many rows of `sent` an account has: to count them for each message took as long as it had sent much.
CREATE TABLE sent_total (
    account TEXT PRIMARY KEY,
    n INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO sent_total SELECT account, count(*) FROM sent GROUP BY account;

-- A recipient is the same in whatever case its domain is written.
UPDATE OR IGNORE correspondent SET recipient =
    rtrim(recipient, replace(recipient, '@', '')) ||
    lower(replace(recipient, rtrim(recipient, replace(recipient, '@', '')), ''))
    WHERE instr(recipient, '@');
