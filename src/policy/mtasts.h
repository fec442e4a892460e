/*
 * MTA-STS (RFC 8461): the record that says that there is a policy, the policy, and which hosts it allows.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "policy/dns.h"

enum {
    MTASTS_MAX_RECORD = 4096,
    MTASTS_MAX_ID = 32,
    MTASTS_MAX_POLICY = 64 * 1024, // bytes (RFC 8461 3.3)
    MTASTS_MAX_AGE = 31557600,     // seconds, a year (RFC 8461 3.2); a longer one counts as this
    MTASTS_MAX_MX = 1000,
};

struct mtasts_record {
    struct str id; // of the policy; another one when that has changed
};
/* sts-text-record, RFC 8461 3.1. ERR_SYNTAX. The id points into text. */
MUST_USE bool mtasts_record_parse(struct str text, struct mtasts_record *out, struct err *e);
/* "v=STSv1; id=...;" */
void mtasts_record_put(struct buf *out, const struct mtasts_record *record);
/*
 * The record for domain, which is in A-labels. ERR_NOT_FOUND without one or with several,
 * ERR_SYNTAX, and ERR_TEMPORARY when the DNS does not say.
 */
MUST_USE bool mtasts_find(const struct dns *dns, struct arena *a, struct str domain,
                          struct mtasts_record *out, struct str *text, bool *is_secure,
                          struct err *e);

enum mtasts_mode { MTASTS_NONE, MTASTS_TESTING, MTASTS_ENFORCE };
const char *mtasts_mode_name(enum mtasts_mode mode);
MUST_USE bool mtasts_mode_parse(struct str name, enum mtasts_mode *out);

struct mtasts_policy {
    enum mtasts_mode mode;
    uint32_t max_age; // seconds
    struct str *mx;   // host names in lower case, or "*." and such a name; none only with MTASTS_NONE
    size_t n;
};
/*
 * sts-policy-record, RFC 8461 3.2: lines that end in CR LF or LF. Fields that we do not know are
 * passed over. ERR_SYNTAX, or ERR_LIMIT past the limits above. Texts are copies in a.
 */
MUST_USE bool mtasts_policy_parse(struct arena *a, struct str text, struct mtasts_policy *out,
                                  struct err *e);
/* Its text, with CR LF. */
void mtasts_policy_put(struct buf *out, const struct mtasts_policy *policy);
/* Its patterns with a space between them, and back: what mtasts_policy_parse took. ERR_SYNTAX, ERR_LIMIT. */
void mtasts_mx_put(struct buf *out, const struct mtasts_policy *policy);
MUST_USE bool mtasts_mx_parse(struct arena *a, struct str text, struct mtasts_policy *out,
                              struct err *e);
/* Whether one of its patterns allows the host (RFC 8461 4.1), which may have a final dot. */
bool mtasts_allows(const struct mtasts_policy *policy, struct str host);

/*
 * The domain whose policy counts for mail to a destination, in A-labels (RFC 8461 3.4). False: an address
 * literal, or what is no domain, has none.
 */
MUST_USE bool mtasts_domain_of(struct arena *a, struct str destination, struct str *out);

/* "mta-sts.example.com" and "/.well-known/mta-sts.txt" are where the policy is (RFC 8461 3.3). */
#define MTASTS_HOST_PREFIX "mta-sts."
#define MTASTS_PATH "/.well-known/mta-sts.txt"
