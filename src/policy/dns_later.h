/*
 * Answers that come later, for whoever cannot wait for them: policy code is run, and what it asks first
 * without there being an answer is noted; with the answer it is run again from its start, until it has
 * all. Meanwhile every question without an answer has DNS_TEMPORARY, and the result is thrown away.
 */
#pragma once

#include "base/map.h"
#include "policy/dns.h"

enum { DNS_LATER_MAX = 200 }; // questions; what is asked after so many stays DNS_TEMPORARY

struct dns_later {
    struct arena a;
    struct map answers; // type and name -> struct dns_answer in a
    bool is_missing;    // since dns_later_begin, a question was asked that has no answer yet:
    struct str name;
    enum dns_type type;
};
void dns_later_init(struct dns_later *l);
void dns_later_fini(struct dns_later *l);
/* Before each run. */
void dns_later_begin(struct dns_later *l);
struct dns dns_later_dns(struct dns_later *l);
/* The answer to the question that is missing; it is copied. */
void dns_later_put(struct dns_later *l, const struct dns_answer *answer);
