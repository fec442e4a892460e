/*
 * A report of ours, on its way: report_send.c says when it is due and asks the DNS for what the others want to know;
 * report_to.c, who gets it; report_dmarc.c and report_tls.c, what it says; report_write.c makes a message of that.
 */
#pragma once

#include "policy/report_compose.h"
#include "reports/reports.h"
#include "role/admin/admin.h"

enum {
    HOUR_S = 3600,
    DAY_S = 24 * HOUR_S,
    LETTER_MAX_BYTES = 100 << 20, // mox-smtp-delivery.md 6.3
    REPORT_MAX_MEMORY = 256 << 20,
};

/* A report that is due. */
struct report_job {
    bool is_tls;
    struct report_day tls; // or:
    struct str domain;     // in the same heap block; of either
    int64_t end_hour, end_unix;
    unsigned retries;
    bool is_resting;
    int64_t rest_until_ms;
    struct report_job *next;
};

/* --- report_to.c: who gets it --------------------------------------------------------------------- */

struct recipient {
    bool is_web;         // address is a URL
    struct str address, uri;
    uint64_t max_size; // of the message; 0: any
};
struct recipients {
    struct recipient *items;
    size_t n, cap;
};
/* ASK_LATER: the DNS does not say now. */
enum wanted { WANTED, NOT_WANTED, ASK_LATER };

enum wanted report_to_dmarc(const struct dns *dns, struct arena *a, struct str domain, struct recipients *out);
enum wanted report_to_tls(const struct dns *dns, struct arena *a, struct str domain, struct recipients *out);
/* Without those that are on the list of the suppressed. */
MUST_USE bool report_to_wanted(bool is_tls, struct recipients *r, struct err *e);

/* --- report_write.c: the message ------------------------------------------------------------------ */

struct letter {
    struct report_message m;
    struct str host_domain;
    struct buf attachment, bytes; // packed; all of the message, empty when there is to be none
};
void letter_fini(struct letter *l);
#define AUTO_LETTER CLEANUP(letter_fini) struct letter

/* Then the report's times, id and attachment are to be said. */
void letter_start(struct arena *a, enum report_kind kind, struct str domain, struct letter *l);
/* The message, to those of them that take one of its size. */
MUST_USE bool letter_write(struct arena *a, struct letter *l, const struct recipients *all, struct err *e);
/* Until the queue has it. */
MUST_USE bool letter_keep(struct arena *a, const struct letter *l, struct err *e);
/* "20261125" of a time. */
struct str report_day_name(struct arena *a, int64_t unix_seconds);

/* --- report_dmarc.c, report_tls.c: what it says --------------------------------------------------- */

/* Whether there is anything to tell its domain. */
MUST_USE bool report_dmarc_has_reason(const struct report_job *job, bool *out, struct err *e);
/* Writes and keeps it, if anybody is to get it; what it tells is told. Not committed. */
MUST_USE bool report_dmarc_finish(struct arena *a, const struct report_job *job, struct recipients *to, struct err *e);
MUST_USE bool report_tls_finish(struct arena *a, const struct report_job *job, struct recipients *to, struct err *e);
