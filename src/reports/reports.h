/*
 * The reports database: what others report about our domains, and what is gathered for our reports to
 * others (mox-smtp-delivery.md 5). admin.db in the current directory; used by the admin process alone.
 */
#pragma once

#include "policy/dmarc.h"
#include "policy/dmarc_report.h"
#include "policy/tlsrpt.h"

enum {
    // Of what is received, per domain of ours; the oldest go first.
    REPORTS_MAX_RECEIVED = 20000,
    REPORTS_MAX_ROWS = 1000000,
    REPORTS_MAX_DAY = 200, // from one sender's domain about one of ours; more are refused
    REPORTS_KEPT_S = 400 * 24 * 3600,
    // Of what is gathered: rows, of one domain and of all.
    REPORTS_MAX_EVALUATIONS = 20000,
    REPORTS_MAX_ALL = 1000000,
    REPORTS_MAX_FAILURES = 1000, // kinds of failure of one TLS result; more are only counted
    REPORTS_GATHERED_S = 48 * 3600, // what nobody could be told is forgotten then
};

/*
 * Changes gather in one transaction: nothing is durable before reports_commit. A change that fails is
 * undone alone.
 */
struct reports;
struct reports *reports_open(struct err *e);
/* With a commit. */
void reports_close(struct reports *r);
MUST_USE bool reports_commit(struct reports *r, struct err *e);
/* Several changes as one: when it did not go well (is_ok), none of them is there. */
MUST_USE bool reports_begin(struct reports *r, struct err *e);
MUST_USE bool reports_end(struct reports *r, bool is_ok, struct err *e);

/* --- received.c: reports of others -------------------------------------------------------------- */

struct report_origin {
    struct str from_domain, mail_from;
    int64_t received_unix;
};
/* One that is there already is left as it is. ERR_LIMIT when this sender sends too many. */
MUST_USE bool reports_add_dmarc(struct reports *r, const struct report_origin *from,
                                const struct dmarc_report *report, struct err *e);
/* What it says of the domain. */
MUST_USE bool reports_add_tls(struct reports *r, const struct report_origin *from,
                              struct str domain, bool is_host, const struct tlsrpt_report *report,
                              struct err *e);
/* Whether the one that was added last was not there already. */
bool reports_was_new(const struct reports *r);
/*
 * Lines for people, of reports with an id above after, of a domain or of all ("");
 * *last is the last that fitted, 0 at the end.
 */
MUST_USE bool reports_list(struct reports *r, bool is_tls, struct str domain, uint64_t after,
                           struct buf *out, uint64_t *last, struct err *e);

/* --- gathered.c: for our reports ---------------------------------------------------------------- */

/* A message, as ipc/messages/reports.h has it (dmarc_evaluation). */
struct report_evaluation {
    struct str policy_domain, record, source_ip, overrides, header_from, envelope_from, envelope_to;
    struct str spf_domain, spf, dkim;
    bool is_optional, is_rejected, is_spf_aligned, is_dkim_aligned, is_spf_helo;
    unsigned interval_hours;
    uint64_t messages; // 1 when it is added
};
/* ERR_LIMIT when there are too many. */
MUST_USE bool reports_add_evaluation(struct reports *r, int64_t now_unix,
                                     const struct report_evaluation *m, struct err *e);

enum report_policy { REPORT_POLICY_NONE, REPORT_POLICY_TLSA, REPORT_POLICY_STS };
struct report_tls_result {
    struct str policy_domain, recipient_domain, policy_strings, mx_hosts;
    bool is_host;
    enum report_policy policy_type;
    uint64_t successes, failures;
    struct str result_type, sending_ip, mx_host, mx_helo, receiving_ip, additional, reason_code;
};
MUST_USE bool reports_add_tls_result(struct reports *r, int64_t now_unix,
                                     const struct report_tls_result *m, struct err *e);

/* Whether something is gathered already, of TLS or of DMARC. */
bool reports_has_gathered(const struct reports *r, bool is_tls);
/* Forgets what is too old to be told, and reports that were received long ago. */
MUST_USE bool reports_expire(struct reports *r, int64_t now_unix, struct err *e);

/* --- due.c: what is to be told ------------------------------------------------------------------ */

struct report_names {
    struct str *items;
    size_t n, cap;
};
/*
 * Domains of which evaluations from before end_hour (since 1970) are due when it begins: their interval
 * ends then; or all that there are.
 */
MUST_USE bool reports_due_dmarc(struct reports *r, struct arena *a, int64_t end_hour, bool all,
                                struct report_names *out, struct err *e);
/* Those of a domain, the same of several hours together. */
struct report_evaluations {
    struct report_evaluation *rows;
    size_t n, cap;
    int64_t first_hour;
    unsigned interval_hours; // the longest
    bool has_reason;         // not all are optional
    struct str record;       // the policy, as it was published last
};
MUST_USE bool reports_evaluations(struct reports *r, struct arena *a, struct str domain,
                                  int64_t end_hour, struct report_evaluations *out, struct err *e);
/* They were told, or nobody wants them. */
MUST_USE bool reports_drop_evaluations(struct reports *r, struct str domain, int64_t end_hour,
                                       struct err *e);

/* What is to be told of a day: to a recipient domain, or to a host of MX records. */
struct report_day {
    struct str domain;
    int64_t day;
    bool is_host;
};
struct report_days {
    struct report_day *items;
    size_t n, cap;
};
/* Of the days before that one: recipient domains, then hosts. */
MUST_USE bool reports_due_tls(struct reports *r, struct arena *a, int64_t before_day,
                              struct report_days *out, struct err *e);
/*
 * Its policies, the same of several recipient domains together. A host hears nothing of recipient domains
 * that were told at `addresses`.
 */
MUST_USE bool reports_tls_policies(struct reports *r, struct arena *a, const struct report_day *day,
                                   struct str addresses, struct tlsrpt_policy **out, size_t *n,
                                   struct err *e);
/* It was told at these addresses (with a space between them), or to nobody. */
MUST_USE bool reports_tls_told(struct reports *r, const struct report_day *day, struct str addresses,
                               struct err *e);

/* --- suppressed.c: addresses that get no reports for a while ------------------------------------- */

MUST_USE bool reports_suppress(struct reports *r, bool is_tls, struct str address,
                               int64_t until_unix, struct str comment, struct err *e);
/* ERR_NOT_FOUND. */
MUST_USE bool reports_unsuppress(struct reports *r, bool is_tls, struct str address, struct err *e);
MUST_USE bool reports_is_suppressed(struct reports *r, bool is_tls, struct str address,
                                    int64_t now_unix, bool *out, struct err *e);
/* Lines for people. */
MUST_USE bool reports_list_suppressed(struct reports *r, bool is_tls, struct buf *out,
                                      struct err *e);

/* --- letter.c: reports by mail, until the queue has them ------------------------------------------ */

enum { REPORTS_MAX_LETTERS = 1000, REPORTS_MAX_LETTER_BYTES = 256 << 20 };
struct report_letter {
    uint64_t id;
    struct str name; // nobody else's: the queue knows by it what it has
    bool is_tls;
    struct str domain, sender, recipients, message; // domain: that it is about; recipients: a line each
    int64_t created_unix;
    uint32_t attempts;
};
/* id and attempts are not looked at. ERR_LIMIT when too many wait. */
MUST_USE bool reports_letter_add(struct reports *r, const struct report_letter *l, struct err *e);
/* The one that has been due for longest; texts are in a. */
MUST_USE bool reports_letter_next(struct reports *r, struct arena *a, int64_t now_unix, struct report_letter *out,
                                  bool *found, struct err *e);
/* The queue did not take it: not again before then. */
MUST_USE bool reports_letter_again(struct reports *r, uint64_t id, int64_t next_unix, struct err *e);
MUST_USE bool reports_letter_done(struct reports *r, uint64_t id, struct err *e);

/* --- web.c: TLS reports for web servers, until these have taken them ------------------------------ */

enum { REPORTS_MAX_WEB = 10000, REPORTS_MAX_WEB_BODY = 8 << 20 };
struct web_report {
    uint64_t id;
    struct str url, domain, body; // domain: that it is about
    int64_t created_unix;
    uint32_t attempts;
};
/* id and attempts are not looked at. ERR_LIMIT when it is too large, or too many wait. */
MUST_USE bool reports_web_add(struct reports *r, const struct web_report *w, struct err *e);
/* The one that has been due for longest; texts are in a. */
MUST_USE bool reports_web_next(struct reports *r, struct arena *a, int64_t now_unix, struct web_report *out,
                               bool *found, struct err *e);
/* It is about to be sent: until it is said what became of that, it is not due. */
MUST_USE bool reports_web_begun(struct reports *r, uint64_t id, struct err *e);
/* One of which that was never said: whether the server has it nobody knows. */
MUST_USE bool reports_web_unknown(struct reports *r, struct arena *a, struct web_report *out, bool *found,
                                  struct err *e);
/* It was not taken: not again before then. */
MUST_USE bool reports_web_again(struct reports *r, uint64_t id, int64_t next_unix, struct err *e);
MUST_USE bool reports_web_done(struct reports *r, uint64_t id, struct err *e);

/* --- update.c: newer versions of this program ---------------------------------------------------- */

/* The newest version that the postmaster was told of, "" for none, and when it was looked for last. */
MUST_USE bool reports_update_state(struct reports *r, struct arena *a, struct str *known,
                                   int64_t *checked_unix, struct err *e);
MUST_USE bool reports_set_update_state(struct reports *r, struct str known, int64_t checked_unix,
                                       struct err *e);

/* --- removal.c: accounts whose removal is under way ----------------------------------------------- */

enum removal_step {
    REMOVAL_ASKED,     // domains.conf is to be changed; whether it was is to be found out
    REMOVAL_WRITTEN,   // it is no account any more
    REMOVAL_FORGOTTEN, // auth and queue know nothing of it any more; its mail may still be there
};
/* That it has come so far; durable on return, as is the end. */
MUST_USE bool reports_note_removal(struct reports *r, struct str account, enum removal_step step, struct err *e);
MUST_USE bool reports_end_removal(struct reports *r, struct str account, struct err *e);
/* The one after that name; "" at the end. */
MUST_USE bool reports_next_removal(struct reports *r, struct arena *a, struct str after, struct str *account,
                                   enum removal_step *step, struct err *e);
