/*
 * What roles that reach the internet do for those that must not: resolve asks the DNS, dial connects, fetch talks to web
 * servers.
 */
#pragma once

#include "ipc/messages/limits.h"
#include "ipc/role.h"
#include "policy/dns.h"
#include "policy/mtasts.h"
#include "policy/tls_rule.h"
#include "text/url.h"

/* --- resolve ---------------------------------------------------------------------------------- */

/* asker -> resolve: a question. No answer is wanted to request 0, only that it be known soon. */
#define ipc_resolve_FIELDS(F)                                                                      \
    F(u64, request, 0)                                                                             \
    F(u32, type, UINT16_MAX)                                                                       \
    F(str, name, DNS_MAX_NAME)
/*
 * resolve -> asker: as struct dns_answer. records: for each the length of its data in two octets
 * and the data (policy/dns_wire.h).
 */
#define ipc_resolved_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(u8, status, DNS_BOGUS)                                                                       \
    F(u8, is_secure, 1)                                                                            \
    F(u32, ttl, 0)                                                                                 \
    F(str, name, DNS_MAX_NAME_TEXT)                                                                \
    F(str, records, DNS_MAX_ANSWER)                                                                \
    F(str, why, IPC_MAX_TEXT)

/* --- dial ------------------------------------------------------------------------------------- */

/* What became of a connection. */
enum ipc_dial_outcome {
    IPC_DIAL_OK = 1,
    IPC_DIAL_REFUSED = 2,
    IPC_DIAL_UNREACHABLE = 3,
    IPC_DIAL_TIMEOUT = 4,
    IPC_DIAL_FORBIDDEN = 5, // not for this asker
    IPC_DIAL_FAILED = 6,    // here: no descriptors, no such address
};
/* deliver, fetch, acme -> dial: connect to this address, of 4 or 16 octets. */
#define ipc_dial_FIELDS(F)                                                                         \
    F(u64, request, 0)                                                                             \
    F(str, address, 16)                                                                            \
    F(u32, port, UINT16_MAX)                                                                       \
    F(u32, timeout_ms, 0)
/*
 * web -> dial: connect to this server behind the reverse proxy, which must be one that the configuration
 * names. dial looks its addresses up, and tries them.
 */
#define ipc_dial_site_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, port, UINT16_MAX)                                                                       \
    F(u32, timeout_ms, 0)
/* dial -> whoever asked: the connected socket and its own address, or why not. */
#define ipc_dialed_FIELDS(F)                                                                       \
    F(u64, request, 0)                                                                             \
    F(u8, outcome, IPC_DIAL_FAILED)                                                                \
    F(str, local, 64)                                                                              \
    F(str, why, IPC_MAX_ANSWER)

/* --- fetch ------------------------------------------------------------------------------------ */

/* Its asker -> monitor: a fresh fetch process; the answer has the same number, and a channel to it or none. */
#define ipc_fetch_new_FIELDS(F) F(u64, request, 0)
#define ipc_fetch_made_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(str, reason, IPC_MAX_TEXT)
/* monitor -> fetch template: its channels to whom it is for, resolve and dial. */
#define ipc_fetch_start_FIELDS(F)                                                                  \
    F(u64, conn, 0)                                                                                \
    F(u8, asker, ROLE_COUNT - 1)

/*
 * Its asker -> fetch: a request to a web server, at an https URL (text/url.h). fields are lines "Name: value"
 * with LF between them, of the request's own; the descriptor is the body of a POST. max_body: octets of the
 * answer's body that are wanted at most.
 */
enum ipc_web_method { IPC_WEB_GET = 1, IPC_WEB_HEAD = 2, IPC_WEB_POST = 3 };
#define ipc_web_fetch_FIELDS(F)                                                                    \
    F(u8, method, IPC_WEB_POST)                                                                    \
    F(str, url, URL_MAX_BYTES)                                                                     \
    F(str, fields, IPC_MAX_TEXT)                                                                   \
    F(u32, max_body, IPC_MAX_WEB_BODY)                                                             \
    F(u32, timeout_ms, 0)
enum ipc_web_outcome {
    IPC_WEB_ANSWER = 1,    // with any status code
    IPC_WEB_NO_HOST = 2,
    IPC_WEB_FAILED = 3,    // no connection, no TLS, no HTTP, broken off, or too slow
    IPC_WEB_UNTRUSTED = 4, // its certificate
    IPC_WEB_TOO_LARGE = 5,
};
/*
 * fetch -> its asker: the answer, with those of its fields that somebody wants to know; of a field that is
 * there more than once the last, but of Link all, with LF between them. why is for people, without an answer.
 */
#define ipc_web_fetched_FIELDS(F)                                                                  \
    F(u8, outcome, IPC_WEB_TOO_LARGE)                                                              \
    F(u32, code, 999)                                                                              \
    F(str, content_type, IPC_MAX_WEB_FIELD)                                                        \
    F(str, location, IPC_MAX_WEB_FIELD)                                                            \
    F(str, replay_nonce, IPC_MAX_WEB_FIELD)                                                        \
    F(str, retry_after, IPC_MAX_WEB_FIELD)                                                         \
    F(str, links, IPC_MAX_WEB_FIELD)                                                               \
    F(str, body, IPC_MAX_WEB_BODY)                                                                 \
    F(str, why, IPC_MAX_ANSWER)

/*
 * queue -> fetch: the MTA-STS policy of a domain, which is in A-labels. With is_refresh the record is
 * looked up first, and nothing is fetched when it still has the id that is known.
 */
#define ipc_sts_fetch_FIELDS(F)                                                                    \
    F(str, domain, DNS_MAX_NAME)                                                                   \
    F(u8, is_refresh, 1)                                                                           \
    F(str, known_id, MTASTS_MAX_ID)
enum ipc_sts_outcome {
    IPC_STS_POLICY = 1,
    IPC_STS_NONE = 2,        // no such host or page
    IPC_STS_NOT_FETCHED = 3, // no connection, no HTTP, another status
    IPC_STS_UNTRUSTED = 4,   // its certificate
    IPC_STS_INVALID = 5,     // what came is no policy
    IPC_STS_UNCHANGED = 6,   // the record has the id that is known
    IPC_STS_GONE = 7,        // there is no record
};
/*
 * fetch -> queue: mx is as mtasts_mx_put writes it; id that of the record, if it was looked up; why is for
 * people, when there is no policy.
 */
#define ipc_sts_fetched_FIELDS(F)                                                                  \
    F(u8, outcome, IPC_STS_GONE)                                                                   \
    F(str, id, MTASTS_MAX_ID)                                                                      \
    F(u8, mode, MTASTS_ENFORCE)                                                                    \
    F(u32, max_age, MTASTS_MAX_AGE)                                                                \
    F(str, mx, IPC_MAX_STS_MX)                                                                     \
    F(str, why, IPC_MAX_ANSWER)

/*
 * deliver -> queue: what the DNS says of the domain's MTA-STS record: 0 none, 1 this id, 2 no answer. First
 * of all that deliver says, and only with IPC_WAY_DIRECT to a domain.
 */
#define ipc_sts_ask_FIELDS(F)                                                                      \
    F(str, domain, DNS_MAX_NAME)                                                                   \
    F(u8, record, 2)                                                                               \
    F(str, id, MTASTS_MAX_ID)
/*
 * queue -> deliver: the policy that holds (status 2), none (1), or nobody knows and mail must wait (3).
 * failure, reason: for the report (policy/tls_rule.h, RFC 8460 4.3), of a fetch that failed lately.
 */
#define ipc_sts_answer_FIELDS(F)                                                                   \
    F(u8, status, 3)                                                                               \
    F(u8, mode, MTASTS_ENFORCE)                                                                    \
    F(u32, max_age, MTASTS_MAX_AGE)                                                                \
    F(str, mx, IPC_MAX_STS_MX)                                                                     \
    F(u8, failure, TLS_STS_WEBPKI_INVALID)                                                         \
    F(str, reason, IPC_MAX_REASON)
