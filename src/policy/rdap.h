/*
 * Registration data of domains (RDAP, RFC 9083): which server knows about a domain (RFC 9224), and when it was registered.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Where the list of servers is. */
#define RDAP_BOOTSTRAP_URL "https://data.iana.org/rdap/dns.json"

enum {
    RDAP_MAX_BOOTSTRAP = 1 << 20,
    RDAP_MAX_ANSWER = 1 << 20,
    RDAP_MAX_VALUES = 50000, // in either
};

/*
 * The URL to ask about a domain (A-labels, lower case): of the servers in the list, those for the most labels of its end,
 * and of their URLs the first with https. ERR_SYNTAX, ERR_LIMIT; ERR_NOT_FOUND when no server knows of such domains.
 */
MUST_USE bool rdap_url(struct arena *a, struct str bootstrap, struct str domain, struct str *out, struct err *e);
/* The day of registration in the answer, as Unix time. ERR_SYNTAX, ERR_LIMIT; ERR_NOT_FOUND when it does not say. */
MUST_USE bool rdap_registered(struct str answer, int64_t *unix_seconds, struct err *e);
/* "2 years, 1 day" */
void rdap_put_age(struct buf *out, int64_t seconds);
