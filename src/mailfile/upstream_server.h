/*
 * What upstream keeps beside its accounts: the queue, reports, policies of other domains, and who logged in how
 * (mox-imap-store-cli-config.md 2.1, 2.3; mox-smtp-delivery.md 3, 5, 7). Pure: each database is bytes. Records are
 * given one after the other, with texts that are valid during the call; a table that is not there has none.
 */
#pragma once

#include "mailfile/upstream.h"
#include "policy/mtasts.h"
#include "reports/reports.h"

/* --- queue/index.db ------------------------------------------------------------------------------- */

struct upstream_attempt {
    int64_t started_unix, duration_ms;
    bool is_success;
    unsigned code;
    struct str enhanced, text;
};
/* A message for one recipient, which waits or is remembered. Its file is upstream_path of its id, below queue/. */
struct upstream_queued {
    uint64_t id, size; // size with the prefix
    int64_t queued_unix, next_attempt_unix, last_attempt_unix;
    struct str account, reverse_path, recipient, transport, message_id, future_release, prefix;
    bool has_own_path; // that no other message has
    uint32_t attempts, max_attempts; // the latter 0: as usual
    uint8_t require_tls; // as struct queue_new has it
    bool is_held, is_8bit, is_smtputf8, is_report;
    const struct upstream_attempt *results;
    size_t n_results;
    // Of one that is remembered.
    bool is_success;
    int64_t last_activity_unix, keep_until_unix;
};
struct upstream_hold_rule {
    struct str account, sender_domain, recipient_domain; // empty: any
};
struct upstream_suppression {
    struct str account, base_address, address, reason;
    bool is_manual;
    int64_t created_unix;
};
struct upstream_queue_reader {
    void *ctx;
    bool (*queued)(void *ctx, const struct upstream_queued *m, struct err *e);
    bool (*retired)(void *ctx, const struct upstream_queued *m, struct err *e);
    bool (*hold_rule)(void *ctx, const struct upstream_hold_rule *rule, struct err *e);
    bool (*suppression)(void *ctx, const struct upstream_suppression *s, struct err *e);
    uint64_t n_hooks; // calls of web servers that wait, which are only counted
};
MUST_USE bool upstream_queue_read(struct str file, struct upstream_queue_reader *r, struct err *e);

/* --- mtasts.db ------------------------------------------------------------------------------------ */

struct upstream_policy {
    struct str domain, id; // A-labels
    int64_t updated_unix, used_unix, valid_until_unix;
    struct mtasts_policy policy;
};
typedef bool upstream_policy_fn(void *ctx, const struct upstream_policy *p, struct err *e);
/* What is only noted of a fetch that failed is left out. */
MUST_USE bool upstream_policies_read(struct str file, upstream_policy_fn *fn, void *ctx, struct err *e);

/* --- dmarcrpt.db, tlsrpt.db, dmarceval.db, tlsrptresult.db ----------------------------------------- */

/* Of received reports nothing says when they came: the end of what they are about stands for it. */
struct upstream_reports_reader {
    void *ctx;
    bool (*dmarc)(void *ctx, const struct report_origin *from, const struct dmarc_report *report, struct err *e);
    bool (*tls)(void *ctx, const struct report_origin *from, struct str domain, bool is_host,
                const struct tlsrpt_report *report, struct err *e);
    bool (*evaluation)(void *ctx, int64_t at_unix, const struct report_evaluation *m, struct err *e);
    bool (*result)(void *ctx, int64_t day_unix, const struct report_tls_result *m, struct err *e);
    bool (*suppressed)(void *ctx, bool is_tls, struct str address, int64_t until_unix, struct str comment,
                       struct err *e);
};
MUST_USE bool upstream_dmarc_read(struct str file, const struct upstream_reports_reader *r, struct err *e);
MUST_USE bool upstream_tls_read(struct str file, const struct upstream_reports_reader *r, struct err *e);
/* With the addresses that get no reports. */
MUST_USE bool upstream_evaluations_read(struct str file, const struct upstream_reports_reader *r, struct err *e);
MUST_USE bool upstream_results_read(struct str file, const struct upstream_reports_reader *r, struct err *e);

/* --- auth.db -------------------------------------------------------------------------------------- */

struct upstream_client_key {
    struct str fingerprint, type, name, cert, account, login; // fingerprint: 32 bytes
    bool no_imap_preauth;
    int64_t created_unix;
};
struct upstream_login {
    struct str account, login, remote_ip, local_ip, tls, client_key, protocol, mechanism, result;
    int64_t first_unix, last_unix;
    uint64_t count;
};
struct upstream_auth_reader {
    void *ctx;
    bool (*key)(void *ctx, const struct upstream_client_key *k, struct err *e);
    bool (*login)(void *ctx, const struct upstream_login *l, struct err *e);
};
MUST_USE bool upstream_auth_read(struct str file, const struct upstream_auth_reader *r, struct err *e);
