/*
 * What an account's process hears and says: its user's connections, and deliveries, which sessions and queue offer
 * and about which it decides.
 */
#pragma once

#include "ipc/messages/limits.h"
#include "policy/findings.h"

/* monitor -> account: a connection of the account's user. Descriptor: the stream. */
#define ipc_attach_FIELDS(F)                                                                       \
    F(u64, conn, 0)                                                                                \
    F(u8, is_tls, 1)                                                                               \
    F(str, login, IPC_MAX_ADDRESS)                                                                 \
    F(str, remote, 64)                                                                             \
    F(str, tag, IPC_MAX_TAG)                                                                       \
    F(str, unread, IPC_MAX_UNREAD)                                                                 \
    F(str, parked, IPC_MAX_PARKED)
/* monitor -> account: its part of the configuration is another now, in a sealed memory file. */
#define ipc_account_config_FIELDS(F)
/* account -> monitor: the connection has ended or was parked. */
#define ipc_detached_FIELDS(F)                                                                     \
    F(u64, conn, 0)                                                                                \
    F(u8, is_parked, 1)
/* account -> monitor: nothing to do, and this many messages of yours seen. May I go? */
#define ipc_account_idle_FIELDS(F) F(u64, seen, 0)
/* monitor -> account: yes. (When something was sent meanwhile, no answer: go on.) */
#define ipc_account_end_FIELDS(F)
/*
 * session -> account, before an offer: what was found out about the sender of a message that came to
 * port 25. Without it the message is local or already judged, and is not decided about. A session
 * that was taken over can say here what it likes; it could have invented the message too.
 *
 * Domains are A-labels in lower case. Lists have a space between their items.
 */
#define ipc_findings_FIELDS(F)                                                                     \
    F(u8, is_tls, 1)            /* the message came over TLS */                                    \
    F(u8, is_smtputf8, 1)       /* the sender understands UTF-8 (RFC 6531) */                      \
    F(u8, has_from, 1)          /* the header has one From field with one address: the next three */ \
    F(str, from_localpart, IPC_MAX_ADDRESS)      /* unquoted, in its own case */                   \
    F(str, from_domain, IPC_MAX_ADDRESS)                                                           \
    F(str, from_org_domain, IPC_MAX_ADDRESS)     /* the organisational domain of it */             \
    F(u8, validation, VALIDATION_STRICT)         /* of the From address */                         \
    F(str, mail_from_localpart, IPC_MAX_ADDRESS) /* of MAIL FROM, unquoted; empty: null path */    \
    F(str, mail_from_domain, IPC_MAX_ADDRESS)                                                      \
    F(u8, spf_mail_from, FINDING_PERMERROR)      /* SPF of it; NONE for a null path */             \
    F(str, hello_domain, IPC_MAX_ADDRESS)        /* of EHLO; empty for an address literal */       \
    F(u8, spf_hello, FINDING_PERMERROR)          /* SPF of that */                                 \
    F(str, dkim_domains, IPC_MAX_FINDINGS)       /* d= of the signatures that verified; a list */  \
    F(u8, dmarc, FINDING_PERMERROR)              /* pass, fail, none, or what went wrong */        \
    F(u8, dmarc_wish, DMARC_WISH_REJECT)         /* of the policy that was found */                \
    F(u8, is_dmarc_sampled, 1)                   /* the policy is for this message, by its pct */  \
    F(u8, iprev, FINDING_PERMERROR)              /* reverse name of the client's address */        \
    F(str, iprev_name, IPC_MAX_ADDRESS)          /* that name, when it passes */                   \
    F(str, dnsbl_zones, IPC_MAX_FINDINGS)        /* those that list the address; a list */         \
    F(u8, is_tlsrpt_signed, 1)                   /* good enough for a report about TLS */         \
    F(u8, arc, FINDING_PERMERROR)                /* the chain of those who passed it on; NONE: none */ \
    F(u8, arc_sets, IPC_MAX_ARC_SETS)            /* how long it is */                              \
    F(str, arc_domain, IPC_MAX_ADDRESS)          /* d= of the last of them, when it passes */
/*
 * session, queue -> account: a message for the mailbox this channel was granted for, in a sealed
 * memory file; prefix is put before it. delivery_id makes a repetition harmless: it says which
 * message for which recipient this is, "s.", the session's own, or "q.", the queue's. rcpt: the
 * recipient as the client wrote it.
 */
#define ipc_offer_FIELDS(F)                                                                        \
    F(str, delivery_id, IPC_MAX_DELIVERY_ID)                                                       \
    F(u64, size, 0)                                                                                \
    F(str, reverse_path, IPC_MAX_ADDRESS)                                                          \
    F(str, hello, IPC_MAX_ADDRESS)                                                                 \
    F(str, rcpt, IPC_MAX_ADDRESS)                                                                  \
    F(str, prefix, IPC_MAX_PREFIX)
/*
 * account -> asker: the decision, or after a commit that it is done. Code 250, 4xx or 5xx. reason: the
 * word for it (mox-smtp-delivery.md 2.1), for logs and reports; empty when nothing was decided.
 * is_slow: answer this client slowly from now on. is_first_time: nothing is known of the sender; the
 * session waits the listener's FirstTimeSenderDelay before it commits. dmarc_override: why the
 * domain's policy was left aside. is_reject: what is committed is to be refused all the same but for a
 * ruleset, so it does not count as accepted in a report. is_report_optional: the domain is not told of
 * this message alone.
 *
 * After a refusal the account waits too: a commit stores the message nonetheless (another member of
 * the list has accepted it); the end of the channel makes the refusal final, and the message goes to
 * the Rejects mailbox.
 */
#define ipc_verdict_FIELDS(F)                                                                      \
    F(u32, code, 599)                                                                              \
    F(str, enhanced, 16)                                                                           \
    F(str, text, IPC_MAX_TEXT)                                                                     \
    F(str, reason, IPC_MAX_REASON)                                                                 \
    F(u8, is_slow, 1)                                                                              \
    F(u8, is_first_time, 1)                                                                        \
    F(u8, is_reject, 1)                                                                            \
    F(u8, dmarc_override, DMARC_FORWARDED)                                                         \
    F(u8, is_report_optional, 1)
/* asker -> account: all recipients have answered; store it. */
#define ipc_commit_FIELDS(F)
