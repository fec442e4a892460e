/*
 * Everything processes say to each other, and who may say it to whom: the one table. The fields of each message are in
 * ipc/messages/, by theme.
 *
 * A message that is not in the table for this sender and receiver ends the channel. No message
 * names an account, a path or a user that its receiver then trusts: who a peer is was said by
 * `monitor` when it made the channel.
 */
#pragma once

#include "ipc/codec.h"
#include "ipc/messages/monitor.h"
#include "ipc/messages/front.h"
#include "ipc/messages/auth.h"
#include "ipc/messages/account.h"
#include "ipc/messages/queue.h"
#include "ipc/messages/keys.h"
#include "ipc/messages/reports.h"
#include "ipc/messages/outside.h"
#include "ipc/messages/admin.h"
#include "ipc/role.h"

#define R_(role) ROLE_BIT(ROLE_##role)
#define R_STARTED                                                                                  \
    (R_(FRONT) | R_(SESSION_TEMPLATE) | R_(ACCOUNT_TEMPLATE) | R_(AUTH) | R_(QUEUE) | R_(KEYS) |   \
     R_(DKIM) | R_(ACME) | R_(RESOLVE) | R_(ADMIN) | R_(DIAL) | R_(DELIVER_TEMPLATE) | \
     R_(FETCH_TEMPLATE) | R_(WEB_TEMPLATE))
#define R_TEMPLATES (R_(SESSION_TEMPLATE) | R_(ACCOUNT_TEMPLATE) | R_(DELIVER_TEMPLATE) |             \
                     R_(FETCH_TEMPLATE) | R_(WEB_TEMPLATE))
#define R_FETCHERS (R_(QUEUE) | R_(ADMIN) | R_(ACME))
#define R_DIALERS (R_(DELIVER) | R_(FETCH) | R_(ACME))
#define R_ASKERS (R_(SESSION) | R_(QUEUE) | R_(AUTH) | R_(ADMIN) | R_(DIAL) | R_DIALERS)

/* Message, from, to, descriptors at least and at most. */
#define IPC_MESSAGES(M)                                                                            \
    M(config, R_(MONITOR), R_STARTED, 1, 4)                                                        \
    M(config_done, R_STARTED, R_(MONITOR), 0, 0)                                                   \
    M(tls_file, R_(MONITOR), R_(KEYS) | R_(FRONT) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE), 1, 1)   \
    M(key_taken, R_(KEYS), R_(MONITOR), 0, 0)                                                      \
    M(received_key, R_(MONITOR), R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE), 0, 0)                      \
    M(srs_key, R_(MONITOR), R_(AUTH), 0, 0)                                                        \
    M(account_ids, R_(MONITOR), R_(ACCOUNT_TEMPLATE), 0, 0)                                        \
    M(metrics, R_(MONITOR), R_STARTED, 1, 1)                                                       \
    M(metrics_page, R_(MONITOR), R_(WEB_TEMPLATE), 1, 1)                                           \
    M(go, R_(MONITOR), R_STARTED, 0, 0)                                                            \
    M(stop, R_(MONITOR) | R_(ADMIN), R_STARTED | R_(ACCOUNT) | R_(SESSION) | R_(WEB) | R_(MONITOR), 0, 0) \
    M(log_level, R_(MONITOR) | R_(ADMIN), R_STARTED | R_(ACCOUNT) | R_(MONITOR), 0, 0)             \
    M(peer, R_(MONITOR), R_STARTED | R_(ACCOUNT), 1, 1)                                            \
    M(check_files, R_(MONITOR), R_(CONFIG), 2, 2)                                                  \
    M(compiled, R_(CONFIG), R_(MONITOR), 1, 1)                                                     \
    M(compiled_end, R_(CONFIG), R_(MONITOR), 0, 0)                                                 \
    M(listen, R_(MONITOR), R_(FRONT) | R_(ADMIN), 1, 1)                                            \
    M(accept, R_(MONITOR), R_(FRONT), 0, 0)                                                        \
    M(conn_new, R_(FRONT), R_(MONITOR), 1, 2)                                                      \
    M(conn_tls, R_(FRONT), R_(MONITOR), 0, 0)                                                      \
    M(key_check, R_(FRONT), R_(AUTH), 0, 0)                                                        \
    M(key_checked, R_(AUTH), R_(FRONT), 0, 0)                                                      \
    M(conn_end, R_(MONITOR), R_(FRONT), 0, 0)                                                      \
    M(starttls, R_(SESSION), R_(FRONT), 0, 0)                                                      \
    M(starttls_done, R_(FRONT), R_(SESSION), 1, 1)                                                 \
    M(web_rate, R_(WEB), R_(FRONT), 0, 0)                                                          \
    M(web_rated, R_(FRONT), R_(WEB), 0, 0)                                                         \
    M(park, R_(ACCOUNT), R_(FRONT), 1, 1)                                                          \
    M(parked, R_(FRONT), R_(ACCOUNT), 0, 0)                                                        \
    M(parked_send, R_(ACCOUNT), R_(FRONT), 0, 0)                                                   \
    M(conn_resume, R_(FRONT), R_(MONITOR), 1, 1)                                                   \
    M(conn_gone, R_(FRONT), R_(MONITOR), 0, 0)                                                     \
    M(unparked, R_(FRONT), R_(ACCOUNT), 0, 0)                                                      \
    M(session_start, R_(MONITOR) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE),                         \
      R_(SESSION_TEMPLATE) | R_(SESSION) | R_(WEB_TEMPLATE) | R_(WEB), 2, 3)                       \
    M(account_start, R_(MONITOR), R_(ACCOUNT_TEMPLATE), 3, 3)                                      \
    M(child_started, R_TEMPLATES, R_(MONITOR), 0, 0)                                               \
    M(child_ended, R_TEMPLATES, R_(MONITOR), 0, 0)                                                 \
    M(grant, R_(SESSION) | R_(ACCOUNT) | R_(WEB), R_(MONITOR), 0, 0)                                \
    M(deliver_open, R_(SESSION) | R_(QUEUE), R_(MONITOR), 0, 0)                                    \
    M(granted, R_(MONITOR), R_(SESSION) | R_(QUEUE) | R_(ACCOUNT) | R_(WEB), 0, 1)                  \
    M(hand_over, R_(SESSION), R_(MONITOR), 1, 1)                                                   \
    M(auth_step, R_(SESSION), R_(AUTH), 0, 0)                                                      \
    M(auth_abort, R_(SESSION), R_(AUTH), 0, 0)                                                     \
    M(auth_key, R_(SESSION), R_(AUTH), 0, 0)                                                       \
    M(auth_reply, R_(AUTH), R_(SESSION), 0, 0)                                                     \
    M(rcpt_check, R_(SESSION) | R_(QUEUE), R_(AUTH), 0, 0)                                         \
    M(report_check, R_(QUEUE), R_(AUTH), 0, 0)                                                     \
    M(rcpt_reply, R_(AUTH), R_(SESSION) | R_(QUEUE), 0, 0)                                         \
    M(from_check, R_(SESSION), R_(AUTH), 0, 0)                                                     \
    M(list_check, R_(SESSION), R_(AUTH), 0, 0)                                                     \
    M(from_reply, R_(AUTH), R_(SESSION), 0, 0)                                                     \
    M(relay_grant, R_(AUTH), R_(QUEUE), 0, 0)                                                      \
    M(login_ok, R_(AUTH), R_(MONITOR), 0, 0)                                                       \
    M(seal_grant, R_(AUTH), R_(MONITOR), 0, 0)                                                     \
    M(delivery_grant, R_(AUTH), R_(MONITOR), 0, 0)                                                 \
    M(set_password, R_(ADMIN), R_(AUTH), 0, 0)                                                     \
    M(forget_account, R_(ADMIN), R_(AUTH), 0, 0)                                                   \
    M(client_key_list, R_(ADMIN), R_(AUTH), 0, 0)                                                  \
    M(client_key_get, R_(ADMIN), R_(AUTH), 0, 0)                                                   \
    M(client_key_add, R_(ADMIN), R_(AUTH), 0, 0)                                                   \
    M(client_key_remove, R_(ADMIN), R_(AUTH), 0, 0)                                                \
    M(admin_reply, R_(MONITOR) | R_(AUTH) | R_(QUEUE), R_(ADMIN), 0, 0)                            \
    M(attach, R_(MONITOR), R_(ACCOUNT), 1, 1)                                                      \
    M(account_config, R_(MONITOR), R_(ACCOUNT), 1, 1)                                              \
    M(detached, R_(ACCOUNT), R_(MONITOR), 0, 0)                                                    \
    M(account_idle, R_(ACCOUNT), R_(MONITOR), 0, 0)                                                \
    M(account_task, R_(ADMIN) | R_(MONITOR), R_(MONITOR) | R_(ACCOUNT), 0, 0)                    \
    M(import_open, R_(ADMIN), R_(MONITOR), 0, 0)                                                   \
    M(import_channel, R_(MONITOR), R_(ADMIN), 0, 1)                                                \
    M(import_message, R_(ADMIN), R_(ACCOUNT), 0, 0)                                                \
    M(import_mailbox, R_(ADMIN), R_(ACCOUNT), 0, 0)                                                \
    M(import_batch, R_(ADMIN), R_(ACCOUNT), 1, 1)                                                  \
    M(imported, R_(ACCOUNT), R_(ADMIN), 0, 0)                                                      \
    M(domains_read, R_(ADMIN), R_(MONITOR), 0, 0)                                                  \
    M(domains_text, R_(MONITOR), R_(ADMIN), 0, 1)                                                  \
    M(domains_write, R_(ADMIN), R_(MONITOR), 1, 1)                                                 \
    M(domains_written, R_(MONITOR), R_(ADMIN), 0, 0)                                               \
    M(account_done, R_(ACCOUNT) | R_(MONITOR), R_(MONITOR) | R_(ADMIN), 0, 0)                         \
    M(account_end, R_(MONITOR), R_(ACCOUNT), 0, 0)                                                 \
    M(findings, R_(SESSION), R_(ACCOUNT), 0, 0)                                                    \
    M(offer, R_(SESSION) | R_(QUEUE), R_(ACCOUNT), 1, 1)                                           \
    M(verdict, R_(ACCOUNT) | R_(QUEUE), R_(SESSION) | R_(QUEUE) | R_(ADMIN), 0, 0)                 \
    M(commit, R_(SESSION) | R_(QUEUE), R_(ACCOUNT), 0, 0)                                          \
    M(submit, R_(SESSION) | R_(ADMIN), R_(QUEUE), 0, 0)                                            \
    M(submit_rcpt, R_(SESSION) | R_(ADMIN), R_(QUEUE), 0, 0)                                       \
    M(returned, R_(ACCOUNT), R_(QUEUE), 0, 0)                                                      \
    M(submit_data, R_(SESSION) | R_(ADMIN), R_(QUEUE), 1, 1)                                       \
    M(queue_command, R_(ADMIN), R_(QUEUE), 0, 0)                                                      \
    M(sign, R_(FRONT) | R_(SESSION) | R_(WEB), R_(KEYS), 0, 0)                                      \
    M(signed, R_(KEYS), R_(FRONT) | R_(SESSION) | R_(WEB), 0, 0)                                    \
    M(acme_list, R_(ACME), R_(KEYS), 0, 0)                                                         \
    M(acme_have, R_(KEYS), R_(ACME), 0, 0)                                                         \
    M(acme_key, R_(ACME), R_(KEYS), 0, 0)                                                          \
    M(acme_sign, R_(ACME), R_(KEYS), 0, 0)                                                         \
    M(acme_bind, R_(ACME), R_(KEYS), 0, 0)                                                         \
    M(acme_csr, R_(ACME), R_(KEYS), 0, 0)                                                          \
    M(acme_store, R_(ACME), R_(KEYS), 0, 0)                                                        \
    M(acme_update, R_(ACME), R_(KEYS), 0, 0)                                                       \
    M(acme_verify, R_(ACME), R_(KEYS), 0, 0)                                                       \
    M(acme_made, R_(KEYS), R_(ACME), 0, 0)                                                         \
    M(certificate, R_(KEYS), R_(MONITOR), 0, 0)                                                    \
    M(tls_cert, R_(MONITOR), R_(FRONT) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE), 1, 1)            \
    M(tls_use, R_(MONITOR), R_(FRONT), 0, 0)                                                       \
    M(cert_wanted, R_(FRONT) | R_(WEB), R_(ACME), 0, 0)                                            \
    M(dns_hook, R_(ACME), R_(MONITOR), 0, 0)                                                       \
    M(dns_hooked, R_(MONITOR), R_(ACME), 0, 0)                                                     \
    M(challenge_ask, R_(WEB), R_(ACME), 0, 0)                                                      \
    M(challenge_answer, R_(ACME), R_(WEB), 0, 0)                                                   \
    M(dkim_domain, R_(SESSION) | R_(QUEUE) | R_(ADMIN), R_(DKIM), 0, 0)                            \
    M(dkim_selector, R_(DKIM), R_(SESSION) | R_(QUEUE) | R_(ADMIN), 0, 0)                          \
    M(dkim_sign, R_(SESSION) | R_(QUEUE) | R_(ADMIN), R_(DKIM), 0, 0)                              \
    M(dkim_signed, R_(DKIM), R_(SESSION) | R_(QUEUE) | R_(ADMIN), 0, 0)                            \
    M(report_received, R_(ACCOUNT), R_(ADMIN), 1, 1)                                               \
    M(report_taken, R_(ADMIN), R_(ACCOUNT), 0, 0)                                                  \
    M(dmarc_evaluation, R_(SESSION), R_(ADMIN), 0, 0)                                              \
    M(tls_result, R_(DELIVER) | R_(QUEUE), R_(QUEUE) | R_(ADMIN), 0, 0)                            \
    M(resolve, R_ASKERS, R_(RESOLVE), 0, 0)                                                        \
    M(resolved, R_(RESOLVE), R_ASKERS, 0, 0)                                                       \
    M(dial, R_DIALERS, R_(DIAL), 0, 0)                                                             \
    M(dial_site, R_(WEB), R_(DIAL), 0, 0)                                                          \
    M(dialed, R_(DIAL), R_DIALERS | R_(WEB), 0, 1)                                                 \
    M(fetch_new, R_FETCHERS, R_(MONITOR), 0, 0)                                                    \
    M(fetch_made, R_(MONITOR), R_FETCHERS, 0, 1)                                                   \
    M(fetch_start, R_(MONITOR), R_(FETCH_TEMPLATE), 3, 3)                                          \
    M(web_fetch, R_FETCHERS, R_(FETCH), 0, 1)                                                      \
    M(web_fetched, R_(FETCH), R_FETCHERS, 0, 0)                                                    \
    M(sts_fetch, R_(QUEUE), R_(FETCH), 0, 0)                                                       \
    M(sts_fetched, R_(FETCH), R_(QUEUE), 0, 0)                                                     \
    M(sts_ask, R_(DELIVER), R_(QUEUE), 0, 0)                                                       \
    M(sts_answer, R_(QUEUE), R_(DELIVER), 0, 0)                                                    \
    M(deliver_new, R_(QUEUE), R_(MONITOR), 0, 0)                                                   \
    M(deliver_made, R_(MONITOR), R_(QUEUE), 0, 1)                                                  \
    M(deliver_way, R_(QUEUE), R_(DELIVER), 0, 0)                                                   \
    M(deliver_message, R_(QUEUE), R_(DELIVER), 1, 1)                                               \
    M(deliver_rcpt, R_(QUEUE), R_(DELIVER), 0, 0)                                                  \
    M(deliver_result, R_(DELIVER), R_(QUEUE), 0, 0)                                                \
    M(deliver_end, R_(DELIVER), R_(QUEUE), 0, 0)                                                   \
    M(deliver_noted, R_(QUEUE), R_(DELIVER), 0, 0)                                                 \
    M(deliver_start, R_(MONITOR) | R_(DELIVER_TEMPLATE), R_(DELIVER_TEMPLATE) | R_(DELIVER), 3, 3)  \
    M(account_erase, R_(ADMIN), R_(MONITOR), 0, 0)                                                 \
    M(account_erased, R_(MONITOR), R_(ADMIN), 0, 0)                                                \
    M(account_progress, R_(ACCOUNT) | R_(MONITOR), R_(MONITOR) | R_(ADMIN), 0, 0)

#define IPC_ENUM_(message, from, to, min_fds, max_fds) IPC_##message,
enum ipc_type { IPC_none, IPC_MESSAGES(IPC_ENUM_) IPC_TYPE_COUNT };

#define IPC_DECLARE_(message, from, to, min_fds, max_fds) IPC_DECLARE(message)
IPC_MESSAGES(IPC_DECLARE_)

struct ipc_rule {
    const char *name;
    role_set from, to;
    unsigned min_fds, max_fds;
    /* Decodes and encodes again, for tests: the bytes of a valid message come out the same. */
    bool (*recode)(struct str bytes, struct buf *out, struct err *e);
};

/* The rule of a type; NULL for a number that is no type. */
const struct ipc_rule *ipc_rule_of(unsigned type);
