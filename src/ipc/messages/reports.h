/*
 * Reports about DMARC and TLS: those that accounts got, on their way to admin, and what sessions and deliver processes
 * tell it for ours.
 */
#pragma once

#include "ipc/messages/limits.h"

/*
 * account -> admin: a report about a domain of ours that came to the account's address for such
 * (mox-smtp-delivery.md 5.2, 5.5), in a sealed memory file (ipc/report.h). Whose it is, admin knows
 * by the channel, and which domains have their address there, by the configuration.
 */
#define ipc_report_received_FIELDS(F)                                                              \
    F(u8, is_tls, 1)                                                                               \
    F(str, from_domain, IPC_MAX_ADDRESS)                                                           \
    F(str, mail_from, IPC_MAX_ADDRESS)
/* The answer: it is stored (also when it was there already), is not wanted, or is to come again. */
enum ipc_report_outcome { IPC_REPORT_STORED, IPC_REPORT_REFUSED, IPC_REPORT_TEMPORARY };
#define ipc_report_taken_FIELDS(F)                                                                 \
    F(u8, outcome, IPC_REPORT_TEMPORARY)                                                           \
    F(str, why, IPC_MAX_ANSWER)
/*
 * session -> admin: what DMARC came to for a message and one of its recipients, for a report to the
 * domain that published the policy (mox-smtp-delivery.md 5.3). The client's address admin knows by
 * the channel. No answer. Domains are A-labels in lower case.
 */
#define ipc_dmarc_evaluation_FIELDS(F)                                                             \
    F(str, policy_domain, IPC_MAX_ADDRESS)                                                         \
    F(str, record, IPC_MAX_REPORT_TEXT)     /* the published policy, as dmarc_record_put has it */ \
    F(u8, is_optional, 1)                   /* no reason for a report by itself */                 \
    F(u8, is_rejected, 1)                                                                          \
    F(u8, is_spf_aligned, 1)                                                                       \
    F(u8, is_dkim_aligned, 1)                                                                      \
    F(str, overrides, 256)                  /* words with a space between them */                  \
    F(str, header_from, IPC_MAX_ADDRESS)                                                           \
    F(str, envelope_from, IPC_MAX_ADDRESS)  /* domains */                                          \
    F(str, envelope_to, IPC_MAX_ADDRESS)                                                           \
    F(str, spf_domain, IPC_MAX_ADDRESS)     /* empty: SPF was not asked */                         \
    F(u8, is_spf_helo, 1)                                                                          \
    F(str, spf, 16)                         /* the word of its result */                           \
    F(str, dkim, IPC_MAX_REPORT_TEXT)       /* per signature a line: result, domain, selector */
/*
 * deliver -> queue -> admin: what the TLS of an attempt at delivery came to, for one policy
 * (mox-smtp-delivery.md 5.6, RFC 8460 4.3): for the recipient's domain, MTA-STS or none; for each MX
 * host that was tried, DANE or none. Attempts with transports, or at an address literal, are none of
 * it. The counts are of sessions; several attempts may be told together. Each failure is of one
 * kind, which the texts say: another kind is told in a message of its own, with successes 0.
 *
 * Of a delivered report about TLS nothing is told, of one about DMARC only failures (no loops). Domains and hosts are A-labels in lower case, lists have LF between.
 * No answer. queue passes it on as it is.
 */
enum ipc_tls_policy { IPC_TLS_POLICY_NONE, IPC_TLS_POLICY_TLSA, IPC_TLS_POLICY_STS };
#define ipc_tls_result_FIELDS(F)                                                                   \
    F(str, policy_domain, IPC_MAX_ADDRESS)    /* recipient domain, or the MX host */               \
    F(u8, is_host, 1)                         /* it is the MX host */                              \
    F(str, recipient_domain, IPC_MAX_ADDRESS)                                                      \
    F(u8, policy_type, IPC_TLS_POLICY_STS)                                                         \
    F(str, policy_strings, IPC_MAX_REPORT_TEXT) /* lines of the policy, or TLSA records; a list */ \
    F(str, mx_hosts, IPC_MAX_REPORT_TEXT)     /* patterns of an MTA-STS policy; a list */          \
    F(u32, successes, 1000000)                                                                     \
    F(u32, failures, 1000000)                                                                      \
    F(str, result_type, 64)                   /* of the failures: "starttls-not-supported" */      \
    F(str, sending_ip, 64)                                                                         \
    F(str, mx_host, IPC_MAX_ADDRESS)                                                               \
    F(str, mx_helo, IPC_MAX_ADDRESS)          /* what the host called itself in its greeting */    \
    F(str, receiving_ip, 64)                                                                       \
    F(str, additional, IPC_MAX_TEXT)          /* additional-information */                         \
    F(str, reason_code, 256)                  /* failure-reason-code */
