/*
 * SMTP TLS reporting (RFC 8460): the record that says where reports go, and reports as others send them.
 */
#pragma once

#include "base/err.h"
#include "message/mime.h"
#include "policy/dns.h"
#include "policy/report_uri.h"

enum {
    TLSRPT_MAX_RECORD = 16 * 1024,
    TLSRPT_MAX_VALUES = 200000,   // of a report's JSON, counted before it is read
    TLSRPT_MAX_POLICIES = 10000,
    TLSRPT_MAX_FAILURES = 50000,  // of all policies
    TLSRPT_MAX_FIELD = 4096,      // bytes of one text; the rest of it is left out
    TLSRPT_REPORT_MEMORY = 96 << 20, // what an arena must allow, beside what is in the JSON
};

struct tlsrpt_record {
    struct report_uris rua;
};
/* tlsrpt-record, RFC 8460 3. ERR_SYNTAX without a usable rua. Texts point into text. */
MUST_USE bool tlsrpt_record_parse(struct arena *a, struct str text, struct tlsrpt_record *out,
                                  struct err *e);
/* "v=TLSRPTv1; rua=mailto:..." */
void tlsrpt_record_put(struct buf *out, const struct tlsrpt_record *record);
/*
 * The record for domain. ERR_NOT_FOUND without one or with several (RFC 8460 3), ERR_TEMPORARY,
 * ERR_SYNTAX.
 */
MUST_USE bool tlsrpt_find(const struct dns *dns, struct arena *a, struct str domain,
                          struct tlsrpt_record *out, struct str *text, bool *is_secure,
                          struct err *e);

struct tlsrpt_failure {
    struct str result_type, sending_mta_ip, receiving_mx_hostname, receiving_mx_helo, receiving_ip;
    uint64_t failed_session_count;
    struct str additional_information, failure_reason_code;
};
struct tlsrpt_policy {
    struct str policy_type; // "tlsa", "sts", "no-policy-found"
    struct str *policy_string, *mx_host;
    size_t n_policy_string, n_mx_host;
    struct str policy_domain; // A-labels in lower case if it is a domain, else as it came
    uint64_t total_successful_session_count, total_failure_session_count;
    struct tlsrpt_failure *failures;
    size_t n_failures;
};
struct tlsrpt_report {
    struct str organization_name, contact_info, report_id;
    int64_t start, end; // Unix time
    struct tlsrpt_policy *policies;
    size_t n;
};
/*
 * RFC 8460 4.4. Missing texts, and numbers as text or with a fraction, are forgiven; times without a
 * zone are UTC (Microsoft's). Texts are copies in a.
 */
MUST_USE bool tlsrpt_report_parse(struct arena *a, struct str json, struct tlsrpt_report **out,
                                  struct err *e);
/* Its JSON, with line ends. */
void tlsrpt_report_put(struct buf *out, const struct tlsrpt_report *report);

/* The report in a message; see report_unpack. */
MUST_USE bool tlsrpt_report_of_message(struct arena *a, struct str message,
                                       const struct part *root, struct tlsrpt_report **out,
                                       struct err *e);
