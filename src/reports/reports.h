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
/*
 * Lines for people, of reports with an id above after, of a domain or of all ("");
 * *last is the last that fitted, 0 at the end.
 */
MUST_USE bool reports_list(struct reports *r, bool is_tls, struct str domain, uint64_t after,
                           struct buf *out, uint64_t *last, struct err *e);

/* --- gathered.c: for our reports ---------------------------------------------------------------- */

/* A message, as ipc/messages.h has it (dmarc_evaluation). */
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

/* Forgets what is too old to be told, and reports that were received long ago. */
MUST_USE bool reports_expire(struct reports *r, int64_t now_unix, struct err *e);
