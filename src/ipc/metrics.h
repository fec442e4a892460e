/*
 * Metrics in Prometheus' text format, with upstream's names where they exist (mox-web-http-api.md 7.1).
 *
 * Every role counts in a page of its own, memory that the monitor made and that outlives the process; the
 * processes of a role share it. A page is a table from series (a metric with values of its labels) to a number,
 * and is only added to, without locks. Whoever shows the metrics adds the pages up: what is in them is input like
 * any other, since a process that was taken over may write what it likes into its own.
 *
 * Labels have values from a fixed list, are small numbers, or names that the configuration has, of which a page has a list of
 * its own: nothing from outside makes a series.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "ipc/role.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/*
 * The metrics: name without "mox_", type, what it is, buckets of a histogram, and up to four labels, each with its list
 * of values (metrics.c), NUMBER, ENHANCED for a status code such as 7.1, or NAME. BY_ROLE is the role that counted.
 */
#define METRICS(M)                                                                                 \
    M(build_info, GAUGE, "Always 1; the version of the server.", NO_BUCKETS, {"version", versions}) \
    M(role_processes, GAUGE, "Processes of a role.", NO_BUCKETS, {"role", roles})                  \
    M(role_resident_memory_bytes, GAUGE, "Resident memory of a role's processes, what they share counted in each.", \
      NO_BUCKETS, {"role", roles})                                                                 \
    M(panic_total, COUNTER, "Processes that ended by a signal or with an error.", NO_BUCKETS, {"pkg", roles}) \
    M(connections_count, GAUGE, "Open connections.", NO_BUCKETS, {"protocol", protocols}, {"listener", NAME}) \
    M(logging_level_error_total, COUNTER, "Lines of the log at level error.", NO_BUCKETS, BY_ROLE) \
    M(logging_level_warn_total, COUNTER, "Lines of the log at level warn.", NO_BUCKETS, BY_ROLE)   \
    M(logging_level_info_total, COUNTER, "Lines of the log at level info.", NO_BUCKETS, BY_ROLE)   \
    M(authentication_total, COUNTER, "Login attempts.", NO_BUCKETS, {"kind", login_kinds}, {"variant", variants}, \
      {"result", login_results})                                                                   \
    M(authentication_ratelimited_total, COUNTER, "Logins refused since too many failed.", NO_BUCKETS, \
      {"kind", login_kinds})                                                                       \
    M(smtpserver_connection_total, COUNTER, "Incoming SMTP connections.", NO_BUCKETS, {"kind", smtp_kinds}) \
    M(smtpserver_command_duration_seconds, HISTOGRAM, "SMTP commands, from their line to the reply.", TO_120, \
      {"kind", smtp_kinds}, {"cmd", smtp_commands}, {"code", NUMBER}, {"ecode", ENHANCED})   \
    M(smtpserver_delivery_total, COUNTER, "Recipients of incoming messages, by what became of them.", NO_BUCKETS, \
      {"result", delivery_results}, {"reason", reasons})                                           \
    M(smtpserver_submission_total, COUNTER, "Submitted messages.", NO_BUCKETS, {"result", submission_results}) \
    M(smtpserver_delivery_starttls_total, COUNTER, "STARTTLS commands on port 25.", NO_BUCKETS)    \
    M(smtpserver_delivery_starttls_errors_total, COUNTER, "STARTTLS handshakes on port 25 that failed.", NO_BUCKETS, \
      {"reason", starttls_errors})                                                                 \
    M(spf_verify_duration_seconds, HISTOGRAM, "SPF, of incoming messages.", TO_20, {"status", auth_results}) \
    M(dkim_verify_duration_seconds, HISTOGRAM, "DKIM, of incoming signatures.", TO_20, {"algorithm", algorithms}, \
      {"status", auth_results})                                                                    \
    M(dmarc_verify_duration_seconds, HISTOGRAM, "DMARC, of incoming messages.", TO_20, {"status", auth_results}, \
      {"reject", yes_no}, {"use", yes_no})                                                         \
    M(iprev_lookup_total, HISTOGRAM, "Names of clients' addresses, looked up and back.", TO_30, {"status", auth_results}) \
    M(dnsbl_lookup_duration_seconds, HISTOGRAM, "Clients' addresses, looked up in block lists.", TO_20, \
      {"zone", NAME}, {"status", dnsbl_results})                                                   \
    M(dnsbl_ips_success, GAUGE, "Own addresses in block lists: 1 not listed, 0 listed or no answer, -1 which are ours is not known.", \
      NO_BUCKETS, {"zone", NAME}, {"ip", NAME})                                                    \
    M(junk_classify_total, COUNTER, "Messages the junk filter looked at, at delivery.", NO_BUCKETS, {"result", junk_results}) \
    M(imap_connection_total, COUNTER, "Incoming IMAP connections.", NO_BUCKETS, {"service", imap_services}) \
    M(imap_command_duration_seconds, HISTOGRAM, "IMAP commands after login.", TO_20, {"cmd", imap_commands}, \
      {"result", imap_results})                                                                    \
    M(dkim_sign_total, COUNTER, "Signatures made for outgoing messages.", NO_BUCKETS, {"key", key_types}) \
    M(dns_lookup_duration_seconds, HISTOGRAM, "DNS questions of other roles.", TO_30, {"pkg", roles}, {"type", dns_types}, \
      {"result", dns_results})                                                                     \
    M(queue_connection_total, COUNTER, "Connections to other mail servers.", NO_BUCKETS, {"result", dial_results}) \
    M(queue_delivery_duration_seconds, HISTOGRAM, "Attempts to deliver to other servers.", TO_120_COARSE, \
      {"attempt", NUMBER}, {"transport", NAME}, {"tlsmode", tls_modes}, {"result", attempt_results}) \
    M(queue_hold, GAUGE, "Recipients in the queue that are on hold.", NO_BUCKETS)                  \
    M(queue_destinations_total, COUNTER, "Attempts at domains whose servers are known.", NO_BUCKETS) \
    M(queue_destinations_authentic_total, COUNTER, "Those of them that DNSSEC proves.", NO_BUCKETS) \
    M(queue_destination_dane_required_total, COUNTER, "Servers with TLSA records: TLS must be.", NO_BUCKETS) \
    M(queue_destination_dane_gathertlsa_errors_total, COUNTER, "Servers whose TLSA records the DNS does not give.", \
      NO_BUCKETS)                                                                                  \
    M(queue_destination_dane_starttlsunverified_total, COUNTER, \
      "Servers whose TLSA records cannot be used: TLS with any certificate.", NO_BUCKETS) \
    M(queue_plaintext_fallback_total, COUNTER, "Connections made once more without TLS, after it failed.", NO_BUCKETS) \
    M(queue_dmarcreport_failure_total, COUNTER, "DMARC reports of ours that were not taken.", NO_BUCKETS) \
    M(queue_requiretls_unsupported_total, COUNTER, "Servers that cannot get a message with REQUIRETLS.", NO_BUCKETS, \
      {"reason", requiretls_reasons})                                                              \
    M(queue_tlsrequiredno_ignored_total, COUNTER, "What was passed over since a message says TLS-Required: No.", NO_BUCKETS, \
      {"ignored", tlsrequiredno_ignored})                                                          \
    M(smtpclient_command_duration_seconds, HISTOGRAM, "SMTP commands to other servers, until their reply.", TO_120, \
      {"cmd", client_commands}, {"code", NUMBER}, {"secode", client_details})                      \
    M(smtpclient_tlsrequiredno_ignored_total, COUNTER, \
      "Certificates that were not looked at since a message says TLS-Required: No.", NO_BUCKETS, {"ignored", client_ignored}) \
    M(dane_verify_total, COUNTER, "Certificates compared with TLSA records.", NO_BUCKETS)          \
    M(dane_verify_errors_total, COUNTER, "Certificates that match no TLSA record.", NO_BUCKETS)    \
    M(mtastsdb_get_total, COUNTER, "MTA-STS policies asked for, by what is kept of them.", NO_BUCKETS, \
      {"result", sts_kept})                                                                        \
    M(mtasts_get_duration_seconds, HISTOGRAM, "MTA-STS policies, looked up and fetched.", TO_20_COARSE, \
      {"result", sts_results})                                                                     \
    M(httpclient_request_duration_seconds, HISTOGRAM, "Requests to web servers.", TO_30_COARSE, {"pkg", roles}, \
      {"method", methods}, {"code", NUMBER}, {"result", client_results})                           \
    M(dmarcdb_policy_evaluated_total, COUNTER, "Messages in DMARC reports about our domains.", NO_BUCKETS, \
      {"domain", NAME}, {"disposition", dispositions}, {"dkim", evaluated}, {"spf", evaluated})    \
    M(dmarcdb_dkim_result_total, COUNTER, "DKIM in DMARC reports about our domains.", NO_BUCKETS, {"result", report_results}) \
    M(dmarcdb_spf_result_total, COUNTER, "SPF in DMARC reports about our domains.", NO_BUCKETS, {"result", report_results}) \
    M(dmarcdb_report_queued_total, COUNTER, "DMARC reports of ours that were queued.", NO_BUCKETS) \
    M(dmarcdb_report_error_total, COUNTER, "DMARC reports of ours that were not made or not queued.", NO_BUCKETS) \
    M(tlsrpt_lookup_duration_seconds, HISTOGRAM, "Looking up who wants TLS reports.", TO_30, {"result", tlsrpt_results}) \
    M(tlsrptdb_session_total, COUNTER, "Sessions in TLS reports about our domains.", NO_BUCKETS, {"type", session_types}) \
    M(tlsrptsend_report_queued_total, COUNTER, "TLS reports of ours that were queued.", NO_BUCKETS) \
    M(tlsrptsend_report_error_total, COUNTER, "TLS reports of ours that were not made or not queued.", NO_BUCKETS) \
    M(updates_lookup_duration_seconds, HISTOGRAM, "Looking for a newer version in the DNS.", TO_30, {"result", update_results}) \
    M(updates_fetchchangelog_duration_seconds, HISTOGRAM, "Fetching what changed in a newer version.", TO_30, \
      {"result", update_results})                                                                  \
    M(subjectpass_generate_total, COUNTER, "Words for the subject given to senders who are not known.", NO_BUCKETS) \
    M(subjectpass_verify_total, COUNTER, "Such words that came back.", NO_BUCKETS, {"result", subjectpass_results}) \
    M(autotls_certput_total, COUNTER, "Certificates that came from an authority.", NO_BUCKETS)     \
    M(autotls_cert_request_errors_total, COUNTER, "Certificates that no authority gave.", NO_BUCKETS) \
    M(autotls_missing_servername_total, COUNTER, "Clients that named no server where there are several.", NO_BUCKETS) \
    M(autotls_unknown_servername_total, COUNTER, "Clients that named a server without a certificate.", NO_BUCKETS) \
    M(autoconf_request_total, COUNTER, "Requests for settings in Thunderbird's format.", NO_BUCKETS) \
    M(autodiscover_request_total, COUNTER, "Requests for settings in Microsoft's format.", NO_BUCKETS) \
    M(smtpserver_errors_total, COUNTER, "Errors of this server that were worked around.", NO_BUCKETS, {"error", server_errors}) \
    M(httpserver_request_duration_seconds, HISTOGRAM, "HTTP requests, until the head of the reply is written.", TO_120, \
      {"handler", web_handlers}, {"proto", web_protocols}, {"method", methods}, {"code", NUMBER})  \
    M(httpserver_response_duration_seconds, HISTOGRAM, "HTTP requests, until all of the reply is written.", TO_120, \
      {"handler", web_handlers}, {"proto", web_protocols}, {"method", methods}, {"code", NUMBER})  \
    M(tls_certificate_expiry_seconds, GAUGE, "Unix time at which the first of the certificates in use ends.", NO_BUCKETS, \
      BY_ROLE)

enum metric {
#define METRIC_ENUM_(name, ...) METRIC_##name,
    METRICS(METRIC_ENUM_)
#undef METRIC_ENUM_
    METRIC_COUNT,
};

/* Places in the lists of values, where the code says them. */
enum { METRIC_DELIVERY_DELIVERED, METRIC_DELIVERY_REJECT, METRIC_DELIVERY_UNKNOWN, METRIC_DELIVERY_ERROR };
enum { METRIC_SUBMISSION_OK, METRIC_SUBMISSION_BAD_FROM, METRIC_SUBMISSION_BAD_HEADER, METRIC_SUBMISSION_LIMIT,
       METRIC_SUBMISSION_QUEUE_ERROR };
enum { METRIC_IMAP_OK, METRIC_IMAP_BAD_SYNTAX, METRIC_IMAP_SERVER_ERROR, METRIC_IMAP_USER_ERROR };
enum { METRIC_DNS_OK, METRIC_DNS_NXDOMAIN, METRIC_DNS_TEMPORARY, METRIC_DNS_ERROR };
enum { METRIC_DIAL_OK, METRIC_DIAL_TIMEOUT, METRIC_DIAL_ERROR };
enum { METRIC_ATTEMPT_OK, METRIC_ATTEMPT_TEMPERROR, METRIC_ATTEMPT_PERMERROR };
enum { METRIC_JUNK_HAM, METRIC_JUNK_SPAM, METRIC_JUNK_UNKNOWN };
enum { METRIC_REQUIRETLS_NO_POLICY, METRIC_REQUIRETLS_NOT_OFFERED };
enum { METRIC_IGNORED_STS_POLICY, METRIC_IGNORED_STS_MX, METRIC_IGNORED_BAD_TLS, METRIC_IGNORED_BAD_TLSA };
enum { METRIC_STS_OK, METRIC_STS_LOOKUP_ERROR, METRIC_STS_FETCH_ERROR };
enum { METRIC_TLSRPT_OK, METRIC_TLSRPT_NONE, METRIC_TLSRPT_TEMPORARY };
enum { METRIC_UPDATE_OK, METRIC_UPDATE_ERROR };
enum { METRIC_SUBJECTPASS_OK, METRIC_SUBJECTPASS_FAIL };
enum { METRIC_ERROR_DKIM_SIGN };

enum { METRIC_LABELS = 4, METRIC_MAX_NUMBER = 999 };
/* Number of the label for an enhanced status code (RFC 3463) such as "5.7.1"; 0 when it is none. */
unsigned metric_enhanced(struct str code);

/*
 * The label for a status of SMTP or HTTP that somebody else chose: the code, if it is one that is in use, else the first
 * of its class, 0 when it is none.
 */
unsigned metric_code(unsigned code);

/*
 * Counts one. The labels' values are numbers: those of a list by place (metric_word), others themselves.
 *
 *     METRIC(imap_connection_total, is_tls);
 */
#define METRIC(name, ...)                                                                          \
    metric_add(METRIC_##name, (const unsigned[METRIC_LABELS]){__VA_ARGS__}, 1)
#define METRIC_ADD(name, n, ...)                                                                   \
    metric_add(METRIC_##name, (const unsigned[METRIC_LABELS]){__VA_ARGS__}, (n))
/* A time that something took. */
#define METRIC_TIME(name, ms, ...)                                                                 \
    metric_observe(METRIC_##name, (const unsigned[METRIC_LABELS]){__VA_ARGS__}, (ms))
/* What a gauge stands at; as METRIC_GONE, what it was about is no more, and it is not shown. One process only. */
#define METRIC_SET(name, value, ...)                                                               \
    metric_set(METRIC_##name, (const unsigned[METRIC_LABELS]){__VA_ARGS__}, (value))
#define METRIC_GONE INT64_MIN

void metric_add(enum metric m, const unsigned labels[METRIC_LABELS], uint64_t n);
void metric_observe(enum metric m, const unsigned labels[METRIC_LABELS], int64_t ms);
void metric_set(enum metric m, const unsigned labels[METRIC_LABELS], int64_t value);
/* The place of the word among the values of the metric's label number i; the last, "other", when it is none. */
unsigned metric_word(enum metric m, unsigned i, struct str word);
/* The same of a word that somebody else chose, of many: when half of the series are taken it is "other", so that others have room. */
unsigned metric_foreign_word(enum metric m, unsigned i, struct str word);

/*
 * The value of a NAME label for a name of the configuration; "(other)" when the page has no room for more. The same name has
 * the same value as long as the page does, also for other processes of the role.
 */
unsigned metric_name(struct str name);

/* --- pages ----------------------------------------------------------------------------------------- */

enum { METRICS_PLACES = 4096 }; // series of a role; with more, the rest is not counted
struct metrics_place {
    uint64_t key, value;
};
enum { METRICS_NAMES = 128, METRICS_NAME_BYTES = 252 }; // and what is longer is cut
struct metrics_name {
    uint32_t state; // 0 free, 1 being written, 2 there
    char text[METRICS_NAME_BYTES]; // and 0
};
struct metrics_page {
    struct metrics_place places[METRICS_PLACES];
    uint32_t n_places; // that are taken
    struct metrics_name names[METRICS_NAMES];
};

/* A new page, as a memory file of a size that nobody can change; and the same to be read only. -1 on failure. */
int metrics_file(struct err *e);
int metrics_file_read_only(int fd, struct err *e);
/* Counts there from now on; until then in memory of the process. The descriptor may be closed then. */
MUST_USE bool metrics_use(int fd, struct err *e);
/* A page to read; NULL on failure. */
const struct metrics_page *metrics_map(int fd, struct err *e);
/* The one that is counted in. */
const struct metrics_page *metrics_own(void);

/* All series of all pages, by role; NULL: none. Whatever the pages hold, so many lines at most. */
void metrics_put(struct buf *out, const struct metrics_page *const pages[ROLE_COUNT]);
