/*
 * The compiled configuration: what `config` writes for each role into a sealed memory file, only
 * what that role needs, as a sequence of records (type, length, fields as in ipc/codec.h).
 *
 * The readers are the long-lived roles, before their sandbox closes.
 */
#pragma once

#include "ipc/messages.h"
#include "web/autoconfig.h"

enum {
    COMPILED_MAX_BYTES = 64 << 20,
};

/* Everyone: names and switches. */
#define ipc_settings_FIELDS(F)                                                                     \
    F(str, hostname, IPC_MAX_ADDRESS)                                                              \
    F(str, data_dir, IPC_MAX_RECORD)                                                               \
    F(str, user, IPC_MAX_NAME)                                                                     \
    F(u8, is_pedantic, 1)                                                                          \
    F(u8, is_localserve, 1)                                                                        \
    F(u8, no_dmarc_reports, 1)  /* NoOutgoingDMARCReports */                                       \
    F(u8, no_tls_reports, 1)                                                                       \
    F(u8, reports_success, 1)   /* OutgoingTLSReportsForAllSuccess */                              \
    F(u8, no_fix_permissions, 1) /* NoFixPermissions */                                           \
    F(u8, has_mtasts, 1)        /* a listener serves policies of MTA-STS */                        \
    F(u8, no_system_authorities, 1) /* those of TLS.CA alone are trusted */                        \
    F(str, postmaster, IPC_MAX_NAME) /* account: whose our own messages are */                     \
    F(u64, quota_bytes, 0)

enum listener_tls { LISTENER_TLS_NONE, LISTENER_TLS_STARTTLS, LISTENER_TLS_IMMEDIATE };

/* One port of one listener of mox.conf; index is its number among all. */
#define ipc_listener_FIELDS(F)                                                                     \
    F(u32, index, 0)                                                                               \
    F(u8, protocol, IPC_LAST_PROTOCOL)                                                             \
    F(u8, tls, LISTENER_TLS_IMMEDIATE)                                                             \
    F(u8, require_tls, 1)                                                                          \
    F(u8, no_requiretls_extension, 1)                                                              \
    F(u8, no_client_auth, 1)                                                                       \
    F(u8, needs_tls13, 1)                                                                          \
    F(u32, port, 65535)                                                                            \
    F(str, ip, 64)                                                                                 \
    F(str, name, IPC_MAX_NAME)           /* of the listener */                                     \
    F(str, hostname, IPC_MAX_ADDRESS)                                                              \
    F(str, acme, IPC_MAX_NAME)           /* whose certificates it has; empty: its files' */        \
    F(str, dnsbls, IPC_MAX_RECORD)       /* zones, with a space between them */                    \
    F(u8, is_forwarded, 1)               /* HTTP: X-Forwarded-For is believed */                   \
    F(u8, no_rate_limit, 1)              /* HTTP: of requests */                                   \
    F(str, proxies, IPC_MAX_RECORD)      /* HTTP: networks, with a space between them */           \
    F(u32, alpn_smtp, 0)                 /* HTTP: 1 + index of the port that ALPN leads to; or 0 */ \
    F(u32, alpn_imap, 0)                                                                           \
    F(u32, first_time_delay_ms, 0)       /* for a message of an unknown sender */                  \
    F(u64, max_message_bytes, 0)
/* web: what is served on a port of a listener, and at which path (mox-web-http-api.md 5.1). */
enum web_kind {
    WEB_ACCOUNT = 1,
    WEB_ADMIN,
    WEB_WEBMAIL,
    WEB_WEBAPI,
    WEB_METRICS,
    WEB_AUTOCONFIG,
    WEB_MTASTS,
    WEB_SITES, // the web server of domains.conf
    WEB_ACME,  // http-01
};
#define ipc_web_service_FIELDS(F)                                                                  \
    F(u32, listener, 0)                                                                            \
    F(u8, kind, WEB_ACME)                                                                          \
    F(str, path, IPC_MAX_TEXT)
/*
 * web: a domain of ours that is not disabled; the name that its clients connect to, or empty; what they
 * connect to (web/autoconfig.h); and its MTA-STS policy, if it has one (policy/mtasts.h, mtasts_mx_put).
 */
#define ipc_web_domain_FIELDS(F)                                                                   \
    F(str, name, IPC_MAX_ADDRESS)                                                                  \
    F(str, client_settings, IPC_MAX_ADDRESS)                                                       \
    F(str, imap_host, IPC_MAX_ADDRESS)                                                             \
    F(u32, imap_port, UINT16_MAX)                                                                  \
    F(u8, imap_socket, MAIL_SOCKET_TLS)                                                            \
    F(u8, imap_on_https, 1)                                                                        \
    F(str, submission_host, IPC_MAX_ADDRESS)                                                       \
    F(u32, submission_port, UINT16_MAX)                                                            \
    F(u8, submission_socket, MAIL_SOCKET_TLS)                                                      \
    F(u8, submission_on_https, 1)                                                                  \
    F(u8, has_sts, 1)                                                                              \
    F(u8, sts_mode, MTASTS_ENFORCE)                                                                \
    F(u32, sts_max_age, MTASTS_MAX_AGE)                                                            \
    F(str, sts_mx, IPC_MAX_STS_MX)
/* monitor: the files of a certificate and its key; key numbers start at 1. */
#define ipc_tls_pair_FIELDS(F)                                                                     \
    F(u32, listener, 0)                                                                            \
    F(u32, key, 0)                                                                                 \
    F(str, cert_path, IPC_MAX_RECORD)                                                              \
    F(str, key_path, IPC_MAX_RECORD)
/* acme, keys: an authority of mox.conf. kinds: which challenges can be answered (policy/acme/acme.h). */
#define ipc_acme_provider_FIELDS(F)                                                                \
    F(str, name, IPC_MAX_NAME)                                                                     \
    F(str, directory_url, URL_MAX_BYTES)                                                           \
    F(str, contact, IPC_MAX_ADDRESS)                                                               \
    F(u32, renew_before_s, 0)                                                                      \
    F(str, binding_key_id, IPC_MAX_TEXT)                                                           \
    F(u8, kinds, 7)
/* acme, keys: a name that it may be asked for. */
#define ipc_acme_host_FIELDS(F)                                                                    \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, is_proactive, 1)
/*
 * acme, keys, dial: the server that takes updates of the DNS for an authority's dns-01, an address; the zone, and what the
 * key is called that they are signed with.
 */
#define ipc_acme_dns_FIELDS(F)                                                                     \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, server, 64)                                                                             \
    F(u32, port, UINT16_MAX)                                                                       \
    F(str, zone, IPC_MAX_ADDRESS)                                                                  \
    F(str, key_name, IPC_MAX_ADDRESS)
/*
 * monitor: a file with the private key of a host, or, without a host, the key of ExternalAccountBinding, or that which
 * updates of the DNS are signed with.
 */
#define ipc_key_file_FIELDS(F)                                                                     \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, is_tsig, 1)                                                                              \
    F(str, path, IPC_MAX_RECORD)
/* monitor: the program that sets records for an authority's dns-01. */
#define ipc_acme_hook_FIELDS(F)                                                                    \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, path, IPC_MAX_RECORD)
/* monitor: a file with certificates of authorities that are trusted when connecting to others (TLS.CA). */
#define ipc_authority_file_FIELDS(F) F(str, path, IPC_MAX_RECORD)
/* keys, in a memory file of its own that the monitor writes: what that file contains. */
#define ipc_key_text_FIELDS(F)                                                                     \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, is_tsig, 1)                                                                              \
    F(str, text, IPC_MAX_RECORD)
/* monitor: an account that exists. */
#define ipc_account_entry_FIELDS(F)                                                                \
    F(str, name, IPC_MAX_NAME)                                                                     \
    F(u64, quota_bytes, 0)                                                                         \
    F(u32, max_per_day, 0)                                                                         \
    F(u32, max_first_per_day, 0)                                                                   \
    F(u32, keep_retired_s, 0)
/*
 * monitor, after an account_entry: the account's own part of the configuration, passed on unread; pieces
 * that follow each other. Inside are the five records below, which the account reads.
 */
#define ipc_account_part_FIELDS(F) F(str, bytes, IPC_MAX_RECORD)
/* account: what holds for all its mail. */
#define ipc_account_rules_FIELDS(F)                                                                \
    F(str, rejects_mailbox, IPC_MAX_MAILBOX)                                                       \
    F(str, introbox, IPC_MAX_MAILBOX)                                                              \
    F(u8, keep_rejects, 1)                                                                         \
    F(u8, no_first_time_delay, 1)                                                                  \
    F(u64, subjectpass_seconds, 0)                                                                 \
    F(str, imap_disabled, IPC_MAX_TEXT) /* capabilities, with a space between them */
/* account: its junk filter, and the patterns of mailboxes that set junk flags. Millionths: _e6. */
#define ipc_account_junk_FIELDS(F)                                                                 \
    F(u8, has_filter, 1)                                                                           \
    F(u8, method, 1)                                                                               \
    F(u8, onegrams, 1)                                                                             \
    F(u8, twograms, 1)                                                                             \
    F(u8, threegrams, 1)                                                                           \
    F(u32, threshold_e6, 1000000)                                                                  \
    F(u32, max_power_e6, 500000)                                                                   \
    F(u32, ignore_words_e6, 500000)                                                                \
    F(u32, top_words, 0)                                                                           \
    F(u32, rare_words, 0)                                                                          \
    F(u8, sets_flags, 1)                                                                           \
    F(str, junk, IPC_MAX_PATTERN)                                                                  \
    F(str, neutral, IPC_MAX_PATTERN)                                                               \
    F(str, notjunk, IPC_MAX_PATTERN)
/* account: an address of its own in the form of delivery_grant, or "@domain" for all others. */
#define ipc_account_destination_FIELDS(F)                                                          \
    F(str, address, IPC_MAX_ADDRESS)                                                               \
    F(str, auth_required, IPC_MAX_TEXT) /* text for a sender who is not validated; or empty */     \
    F(u8, is_dmarc_report, 1)                                                                      \
    F(u8, is_tls_report, 1)
/* account: a ruleset of the destination before it, and a pair of expressions for it. */
#define ipc_ruleset_FIELDS(F)                                                                      \
    F(str, mail_from_regexp, IPC_MAX_RECORD)                                                       \
    F(str, msg_from_regexp, IPC_MAX_RECORD)                                                        \
    F(str, verified_domain, IPC_MAX_ADDRESS)                                                       \
    F(u8, is_forward, 1)                                                                           \
    F(str, list_allow_domain, IPC_MAX_ADDRESS)                                                     \
    F(str, accept_rejects_mailbox, IPC_MAX_MAILBOX)                                                \
    F(str, mailbox, IPC_MAX_MAILBOX)
#define ipc_ruleset_header_FIELDS(F)                                                               \
    F(str, name_regexp, IPC_MAX_RECORD)                                                            \
    F(str, value_regexp, IPC_MAX_RECORD)
/* account: a mailbox made in a new account; use is 0 or one of enum store's special uses. */
#define ipc_initial_mailbox_FIELDS(F)                                                              \
    F(str, name, IPC_MAX_MAILBOX)                                                                  \
    F(str, special_use, 16)
/* web: an entry of WebDomainRedirects, in A-labels. */
#define ipc_web_moved_FIELDS(F)                                                                    \
    F(str, from, IPC_MAX_ADDRESS)                                                                  \
    F(str, to, IPC_MAX_ADDRESS)
/* web: a handler of domains.conf, in the order of the file; the rest depends on its kind. */
enum web_handler_kind { WEB_HANDLER_STATIC, WEB_HANDLER_REDIRECT, WEB_HANDLER_FORWARD, WEB_HANDLER_INTERNAL };
#define ipc_web_handler_FIELDS(F)                                                                  \
    F(u8, kind, WEB_HANDLER_INTERNAL)                                                              \
    F(str, name, IPC_MAX_RECORD)                                                                   \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(str, path_regexp, IPC_MAX_RECORD)                                                            \
    F(u8, answers_plain, 1)                                                                        \
    F(u8, compresses, 1)                                                                           \
    F(str, strip_prefix, IPC_MAX_RECORD) /* static */                                              \
    F(str, root, IPC_MAX_RECORD)                                                                   \
    F(u8, lists_files, 1)                                                                          \
    F(u8, continues, 1)                                                                            \
    F(str, url, IPC_MAX_RECORD)          /* redirect: BaseURL; forward: URL */                     \
    F(str, orig_path_regexp, IPC_MAX_RECORD)                                                       \
    F(str, replace_path, IPC_MAX_RECORD)                                                           \
    F(u32, code, 399)                                                                              \
    F(u8, strips_path, 1)                /* forward */                                             \
    F(str, base_path, IPC_MAX_RECORD)    /* internal */                                            \
    F(str, service, 16)
/* web: a field of all replies of the handler before it. */
#define ipc_web_field_FIELDS(F)                                                                    \
    F(str, name, IPC_MAX_RECORD)                                                                   \
    F(str, value, IPC_MAX_RECORD)
/* dial: a server behind the proxy, as in URL; in A-labels, or an address. */
#define ipc_web_target_FIELDS(F)                                                                   \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, port, 65535)
/* admin: an account to whose address the reports about a domain of ours, or this host, come. */
#define ipc_report_address_FIELDS(F)                                                               \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(u8, is_tls, 1)                                                                               \
    F(u8, is_host, 1)
/* admin: a domain of ours that sends mail, in the order of the file. */
#define ipc_own_domain_FIELDS(F) F(str, domain, IPC_MAX_ADDRESS)
/* admin: a block list to watch for our own addresses; and an address that mail leaves from or comes to, 0.0.0.0 for all. */
#define ipc_watched_zone_FIELDS(F) F(str, name, IPC_MAX_ADDRESS)
#define ipc_watched_address_FIELDS(F) F(str, ip, 64)
/* admin: who publishes versions of this program, when they are looked for. */
#define ipc_updates_source_FIELDS(F)                                                               \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(str, changelog_url, URL_MAX_BYTES)                                                           \
    F(str, public_key, 32)
/*
 * dkim: a domain whose mail is signed, in A-labels; after it the accounts that may send from it, and
 * its selectors. is_host: what the server itself writes is signed as this one.
 */
#define ipc_signing_domain_FIELDS(F)                                                               \
    F(str, name, IPC_MAX_ADDRESS)                                                                  \
    F(u8, is_host, 1)
#define ipc_signing_account_FIELDS(F) F(str, name, IPC_MAX_NAME)
/* As dkim_selector, which answers with it. Keys have numbers from 1 on. */
#define ipc_signing_selector_FIELDS(F)                                                             \
    F(u32, key, 0)                                                                                 \
    F(u8, is_unsealed, 1)                                                                          \
    F(u8, header_is_relaxed, 1)                                                                    \
    F(u8, body_is_relaxed, 1)                                                                      \
    F(u64, expires_after, 0)                                                                       \
    F(str, name, IPC_MAX_ADDRESS)                                                                  \
    F(str, headers, IPC_MAX_RECORD)
/* monitor: where the private key of that number is. */
#define ipc_signing_file_FIELDS(F)                                                                 \
    F(u32, key, 0)                                                                                 \
    F(str, path, IPC_MAX_RECORD)
/* dkim, in a memory file of its own that the monitor writes: what that file contains. */
#define ipc_signing_key_FIELDS(F)                                                                  \
    F(u32, key, 0)                                                                                 \
    F(str, pem, IPC_MAX_RECORD)
/* queue: a transport of mox.conf, and what deliver does by it (enum ipc_way, enum ipc_way_tls). */
enum transport_kind { TRANSPORT_RELAY = 1, TRANSPORT_DIRECT = 2, TRANSPORT_SOCKS = 3, TRANSPORT_FAIL = 4 };
#define ipc_transport_FIELDS(F)                                                                    \
    F(str, name, IPC_MAX_NAME)                                                                     \
    F(u8, kind, TRANSPORT_FAIL)                                                                    \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, port, UINT16_MAX)                                                                       \
    F(u8, tls, IPC_WAY_IMMEDIATE)                                                                  \
    F(str, username, IPC_MAX_ADDRESS)                                                              \
    F(str, password, IPC_MAX_ADDRESS)                                                              \
    F(str, mechanisms, IPC_MAX_ADDRESS) /* with a space between them */                            \
    F(str, hello, IPC_MAX_ADDRESS)                                                                 \
    F(u8, families, 3)                                                                             \
    F(u32, code, 599)                                                                              \
    F(str, text, 256)
/*
 * queue: a route; the first that fits is taken, of the account, then of the sender's domain, then of all.
 * from and to: domains with a space between them, one that begins with a dot with all below it.
 */
enum route_scope { ROUTE_ACCOUNT, ROUTE_DOMAIN, ROUTE_ALL };
#define ipc_route_FIELDS(F)                                                                        \
    F(u8, scope, ROUTE_ALL)                                                                        \
    F(str, owner, IPC_MAX_ADDRESS)                                                                 \
    F(str, from, IPC_MAX_RECORD)                                                                   \
    F(str, to, IPC_MAX_RECORD)                                                                     \
    F(u32, min_attempts, 0)                                                                        \
    F(str, transport, IPC_MAX_NAME)
/* queue: a login whose messages have a return path of their own for each recipient (FromIDLoginAddresses). */
#define ipc_fromid_login_FIELDS(F) F(str, login, IPC_MAX_ADDRESS)
/* queue: the first LocalpartCatchallSeparator of a domain, in A-labels. */
#define ipc_separator_FIELDS(F)                                                                    \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(str, separator, 64)
/* dial: a port of a transport. */
#define ipc_dial_port_FIELDS(F) F(u32, port, UINT16_MAX)
/* dial: a port of an ACME directory, which fetch may ask for as well as 443. */
#define ipc_web_port_FIELDS(F) F(u32, port, UINT16_MAX)
/* Everyone: a log level, package "" for the default. */
#define ipc_level_FIELDS(F)                                                                        \
    F(str, package, IPC_MAX_NAME)                                                                  \
    F(str, level, 16)
/*
 * auth: what a directory needs of a checked file (config_put_directory), in pieces that follow each
 * other; file 0 mox.conf, 1 domains.conf.
 */
#define ipc_text_piece_FIELDS(F)                                                                   \
    F(u8, file, 1)                                                                                 \
    F(str, bytes, IPC_MAX_RECORD)

#define COMPILED_RECORDS(M)                                                                        \
    M(settings)                                                                                    \
    M(listener)                                                                                     \
    M(web_service)                                                                                  \
    M(web_domain)                                                                                    \
    M(web_moved)                                                                               \
    M(web_handler)                                                                             \
    M(web_field)                                                                               \
    M(web_target)                                                                              \
    M(tls_pair)                                                                                    \
    M(acme_provider)                                                                               \
    M(acme_host)                                                                                   \
    M(acme_dns)                                                                                    \
    M(key_file)                                                                                    \
    M(acme_hook)                                                                                   \
    M(authority_file)                                                                              \
    M(key_text)                                                                                    \
    M(account_entry)                                                                               \
    M(account_junk)                                                                                \
    M(account_part)                                                                                \
    M(account_rules)                                                                               \
    M(account_destination)                                                                         \
    M(ruleset)                                                                                     \
    M(ruleset_header)                                                                              \
    M(initial_mailbox)                                                                             \
    M(report_address)                                                                              \
    M(updates_source)                                                                              \
    M(watched_zone)                                                                                \
    M(watched_address)                                                                             \
    M(own_domain)                                                                                  \
    M(signing_domain)                                                                              \
    M(signing_account)                                                                             \
    M(signing_selector)                                                                            \
    M(signing_file)                                                                                \
    M(signing_key)                                                                                 \
    M(level)                                                                                       \
    M(text_piece)                                                                                  \
    M(transport)                                                                                   \
    M(route)                                                                                       \
    M(fromid_login)                                                                                \
    M(separator)                                                                                   \
    M(dial_port)                                                                                   \
    M(web_port)

#define COMPILED_ENUM_(record) COMPILED_##record,
enum compiled_type { COMPILED_none, COMPILED_RECORDS(COMPILED_ENUM_) COMPILED_TYPE_COUNT };
#define COMPILED_DECLARE_(record) IPC_DECLARE(record)
COMPILED_RECORDS(COMPILED_DECLARE_)

/* Appends one record whose body is already encoded. */
void compiled_put(struct buf *out, enum compiled_type type, struct str body);

#define COMPILED_PUT(out, record, ...)                                                             \
    do {                                                                                           \
        struct ipc_##record compiled_m_ = {__VA_ARGS__};                                           \
        struct buf compiled_b_ = BUF_LIMIT(COMPILED_MAX_BYTES);                                    \
        ipc_##record##_put(&compiled_b_, &compiled_m_);                                            \
        compiled_put((out), COMPILED_##record, buf_str(&compiled_b_));                             \
        buf_fini(&compiled_b_);                                                                    \
    } while (0)

/* Takes the next record. False at the end, or with *e set when the file is malformed. */
MUST_USE bool compiled_next(struct cur *c, enum compiled_type *type, struct str *body,
                            struct err *e);
