/*
 * Dates of messages (RFC 5322 3.3, 4.3) and of IMAP (RFC 9051, date-time).
 */
#pragma once

#include "base/buf.h"
#include "base/cur.h"

struct date {
    int64_t unix_seconds;
    int zone_minutes; // east of UTC
};

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, month 1 to 12. */
int64_t date_days(int64_t year, unsigned month, unsigned day);

/* Weekday, comments and obsolete zones are allowed. */
MUST_USE bool date_parse(struct str text, struct date *out);
/* "Tue, 24 Nov 2026 09:16:53 +0100" */
void date_put(struct buf *out, struct date d);
/* "24 Nov 2026 09:16:53 +0100" */
void date_put_without_weekday(struct buf *out, struct date d);

/* "24-Nov-2026 09:16:53 +0100", the day with two digits or a space. */
MUST_USE bool date_parse_imap(struct str text, struct date *out);
void date_put_imap(struct buf *out, struct date d);
/* "24-Nov-2026" as in SEARCH: the days since 1970. */
MUST_USE bool date_parse_imap_day(struct str text, int64_t *days);

/* "2026-11-24T09:16:53Z" */
void date_put_rfc3339(struct buf *out, int64_t unix_seconds);
/* "20261124T091653", as in names of files */
void date_put_stamp(struct buf *out, int64_t unix_seconds);
/* The same in UTC, with any fraction of a second, which is dropped. */
MUST_USE bool date_parse_rfc3339(struct str text, int64_t *unix_seconds);
