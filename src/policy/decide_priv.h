/*
 * What the files of the decision share.
 */
#pragma once

#include "base/buf.h"
#include "policy/decide.h"

struct decide {
    struct arena *a;
    const struct decide_account *account;
    const struct decide_destination *destination;
    const struct decide_message *m;
    const struct decide_source *source;
    const struct decide_ruleset *ruleset; // the one that matches, or NULL
    struct decision *out;
    struct str dkim[DECIDE_MAX_DKIM]; // verified domains
    size_t n_dkim;
    struct str networks[DECIDE_NETWORKS]; // empty for a forwarded message
    struct str from, mail_from;           // addresses, or empty
    bool counts_mail_from, counts_hello;  // SPF passes, and the message is not forwarded
    struct buf why, details;
};

/* A line of the record; printf-like evidence. */
void decide_note(struct decide *d, const char *check, struct str result, const char *evidence, ...)
    PRINTF_LIKE(4, 5);

enum opinion { OPINION_NONE, OPINION_GOOD, OPINION_JUNK };
struct reputation {
    enum opinion opinion;
    bool is_conclusive;
    const char *method;
};
/* mox-smtp-delivery.md 2.2. */
MUST_USE bool decide_reputation(struct decide *d, struct reputation *out, struct err *e);
/* The signs of this message, for later ones. */
void decide_signs(const struct decide *d, struct decision *out);

/* mox-smtp-delivery.md 2.3: the first ruleset that matches, or NULL. */
const struct decide_ruleset *decide_ruleset_of(struct decide *d);
/* Whether domain is the one that SPF or a signature proved. */
bool decide_is_list(const struct decide *d, struct str domain);
