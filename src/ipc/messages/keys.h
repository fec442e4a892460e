/*
 * What is signed with which key, and for whom: handshakes by keys, requests for certificates by keys for acme, mail by
 * dkim. None of them gives a key away.
 */
#pragma once

#include "crypto/crypto.h"
#include "ipc/messages/limits.h"
#include "policy/dkim.h"
#include "text/url.h"

/* --- keys ------------------------------------------------------------------------------------- */

/*
 * front, session -> keys: sign a digest with a key of the configuration. The answer has the same
 * number, for askers that do not wait for ever.
 */
enum ipc_signature { IPC_SIGN_ECDSA = 1, IPC_SIGN_RSA = 2 };
#define ipc_sign_FIELDS(F)                                                                         \
    F(u64, request, 0)                                                                             \
    F(u32, key, 0)                                                                                 \
    F(u8, type, IPC_SIGN_RSA)                                                                      \
    F(u32, parameter, 0)                                                                           \
    F(str, digest, IPC_MAX_DIGEST)
#define ipc_signed_FIELDS(F)                                                                       \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, signature, IPC_MAX_SIGNATURE)

/* --- acme: certificates ----------------------------------------------------------------------- */

enum ipc_key_kind { IPC_KEY_ECDSA = 1, IPC_KEY_RSA = 2 };
enum { IPC_MAX_CHAIN = IPC_MAX_WEB_BODY, IPC_MAX_JOSE = IPC_MAX_WEB_BODY };
/*
 * acme -> keys: requests about an authority of the configuration, called provider, and a host that it may have
 * certificates for. Each is answered by acme_made. What keys signs for acme is a request of ACME, of which it writes the
 * protected header itself, or a request for a certificate: no bytes of acme's choice.
 *
 * acme_list: all certificates that there are, an acme_have for each before the answer. acme_key: the public key of the
 * account as JWK, made if there is none. acme_sign: a request, as JWS; with kid, or the public key when that is empty.
 * acme_bind: the account's key signed with the one of ExternalAccountBinding. acme_csr: a request for a certificate,
 * with a key that is kept until there is one. acme_store: that certificate; it is in use from then on.
 */
#define ipc_acme_list_FIELDS(F) F(u64, request, 0)
#define ipc_acme_have_FIELDS(F)                                                                    \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)                                                                       \
    F(str, chain, IPC_MAX_CHAIN)
#define ipc_acme_key_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)
#define ipc_acme_sign_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, url, URL_MAX_BYTES)                                                                     \
    F(str, nonce, 512)                                                                             \
    F(str, kid, URL_MAX_BYTES)                                                                     \
    F(str, payload, IPC_MAX_TEXT * 16)
#define ipc_acme_bind_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, url, URL_MAX_BYTES)
#define ipc_acme_csr_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)
#define ipc_acme_store_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)                                                                       \
    F(str, chain, IPC_MAX_CHAIN)
/*
 * For dns-01 by updates of the DNS (DNSUpdate): acme_update has the whole message written and signed that sets the TXT record
 * of _acme-challenge below the host, or removes it; acme_verify asks whether this is the MAC of these bytes, of an answer.
 */
#define ipc_acme_update_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(str, text, 100)                                                                              \
    F(u8, is_set, 1)
#define ipc_acme_verify_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, bytes, 8192)                                                                            \
    F(str, mac, SHA256_BYTES)
#define ipc_acme_made_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, bytes, IPC_MAX_JOSE)                                                                    \
    F(str, why, IPC_MAX_ANSWER)
/*
 * keys -> monitor: a certificate to use, whose key has that number; in place of what there was for that host and kind.
 * is_temporary: one of our own, until an authority has given one.
 */
#define ipc_certificate_FIELDS(F)                                                                  \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)                                                                       \
    F(u32, key, 0)                                                                                 \
    F(u8, is_temporary, 1)                                                                         \
    F(str, chain, IPC_MAX_CHAIN)
/* monitor -> who shakes hands: such a certificate, a memory file, for all listeners that name its provider. */
#define ipc_tls_cert_FIELDS(F)                                                                     \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, key, 0)                                                                                 \
    F(u8, is_temporary, 1)
/* monitor -> front: the certificates that were sent since it began or since the last of these are all there are now. */
#define ipc_tls_use_FIELDS(F)
/* front, web -> acme: a client asked for a name that there is no certificate for. No answer. */
#define ipc_cert_wanted_FIELDS(F) F(str, host, IPC_MAX_ADDRESS)
/*
 * web -> acme: what an authority is to be answered that asks this server for a name: to http-01 for a token, to
 * tls-alpn-01 for the name alone. The answer is the key authorization; none: not a name of ours, or nothing is asked
 * about it.
 */
enum ipc_challenge { IPC_CHALLENGE_HTTP = 1, IPC_CHALLENGE_TLS_ALPN = 2 };
#define ipc_challenge_ask_FIELDS(F)                                                                \
    F(u8, kind, IPC_CHALLENGE_TLS_ALPN)                                                            \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(str, token, 256)
enum ipc_challenge_status { IPC_CHALLENGE_OK = 1, IPC_CHALLENGE_NOT_OURS = 2, IPC_CHALLENGE_UNKNOWN = 3 };
#define ipc_challenge_answer_FIELDS(F)                                                             \
    F(u8, status, IPC_CHALLENGE_UNKNOWN)                                                           \
    F(str, text, 512)

/*
 * acme -> monitor: have the administrator's program of this authority set the TXT record of _acme-challenge below the host,
 * or remove it; and how that came out.
 */
#define ipc_dns_hook_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(str, text, 100)                                                                              \
    F(u8, is_set, 1)
#define ipc_dns_hooked_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, why, IPC_MAX_ANSWER)

/* --- dkim ------------------------------------------------------------------------------------- */

/*
 * session, queue, admin -> dkim: what mail from this domain (A-labels) is signed with; empty: what
 * this server itself writes. The answer is a dkim_selector for each selector, with the same request;
 * one without a name when there is none, or none that this asker may use.
 */
#define ipc_dkim_domain_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, domain, IPC_MAX_ADDRESS)
/* dkim -> asker: left more follow. headers: the fields to sign, with a colon between them. */
#define ipc_dkim_selector_FIELDS(F)                                                                \
    F(u64, request, 0)                                                                             \
    F(u32, left, 0)                                                                                \
    F(u32, key, 0)                                                                                 \
    F(u8, algorithm, DKIM_ED25519_SHA256)                                                          \
    F(u8, is_unsealed, 1)                                                                          \
    F(u8, header_is_relaxed, 1)                                                                    \
    F(u8, body_is_relaxed, 1)                                                                      \
    F(u64, expires_after, 0)                                                                       \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(str, name, IPC_MAX_ADDRESS)                                                                  \
    F(str, headers, IPC_MAX_RECORD)
/* session, queue, admin -> dkim: sign this SHA-256 digest with the key of a selector of a domain it may use. */
#define ipc_dkim_sign_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(u32, key, 0)                                                                                 \
    F(str, digest, SHA256_BYTES)
#define ipc_dkim_signed_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, signature, IPC_MAX_SIGNATURE)
