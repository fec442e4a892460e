/*
 * What the files of SPF share: an evaluation under way, and macros.
 */
#pragma once

#include "base/cur.h"
#include "policy/spf/spf.h"

struct spf_run {
    const struct dns *dns;
    struct arena *a; // until the end of the evaluation
    const struct spf_query *q;
    struct ip ip;             // IPv4 when it is IPv4 in IPv6
    struct str local, domain; // of the identity
    unsigned n_lookups, n_void, n_prefetched;
    bool is_secure;
    bool has_names; // the names of the client are known
    struct str names[SPF_MAX_HOSTS];
    size_t n_names;
    enum auth_result error; // temperror or permerror, and the sentence, after SPF_STOP
    struct str why;
};

enum spf_step {
    SPF_YES,
    SPF_NO,
    SPF_STOP, // an error ends the evaluation
};

/* Ends the evaluation. */
enum spf_step spf_stop(struct spf_run *run, enum auth_result error, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Counts a term that asks the DNS: SPF_YES, or SPF_STOP when there have been too many. */
enum spf_step spf_count(struct spf_run *run);
/* Finds out the validated names of the client (RFC 7208 5.5), once. */
void spf_find_names(struct spf_run *run);
/* Whether name is domain or below it, whatever the case of letters. */
bool spf_is_within(struct str name, struct str domain);

/* --- macros (RFC 7208 7) --- */

/* Whether text is a domain-spec: it ends in a macro or in a top-level label. ERR_SYNTAX. */
MUST_USE bool spf_domain_spec_check(struct str text, struct err *e);
/* Whether text is a macro-string, for an explanation also with spaces. ERR_SYNTAX. */
MUST_USE bool spf_macro_string_check(struct str text, bool has_spaces, struct err *e);

/*
 * Expands a checked text for a record of domain. When out is full, what did not fit is missing.
 * SPF_NO: it cannot stand for anything in the DNS (RFC 8616 4).
 */
enum spf_step spf_expand(struct spf_run *run, struct str text, struct str domain,
                         struct buf *out);
/* The name that a domain-spec stands for, cut to what a name can have (RFC 7208 7.3). */
enum spf_step spf_expand_name(struct spf_run *run, struct str spec, struct str domain,
                              struct str *out);
