-- MTA-STS policies of other domains (RFC 8461). valid_until 0: none, only what is noted of a fetch that failed.
CREATE TABLE sts (
    domain TEXT PRIMARY KEY,
    record_id TEXT NOT NULL,
    mode INTEGER NOT NULL,
    max_age INTEGER NOT NULL,
    mx TEXT NOT NULL,
    valid_until_unix INTEGER NOT NULL,
    checked_unix INTEGER NOT NULL,
    used_unix INTEGER NOT NULL,
    failed_id TEXT NOT NULL DEFAULT '',
    failure INTEGER NOT NULL DEFAULT 0,
    failed_why TEXT NOT NULL DEFAULT '',
    retry_unix INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX sts_checked ON sts (checked_unix) WHERE valid_until_unix > 0;
