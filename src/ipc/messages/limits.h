/*
 * How long fields may be, and what fields of messages of several themes have in common. Each limit bounds what a
 * receiver keeps of a sender that it does not trust.
 */
#pragma once

#include "policy/mtasts.h"

enum {
    IPC_MAX_ADDRESS = 1024,  // localpart (128 octets at most) or domain (255), generously
    IPC_MAX_ANSWER = 300,    // the text of a struct err
    IPC_MAX_PATTERN = 2000,  // a regular expression for names of mailboxes
    IPC_MAX_NAME = 255,      // account names, package names
    IPC_MAX_MAILBOX = 1024,
    IPC_MAX_TEXT = 2048,     // a sentence for a reply or a person
    IPC_MAX_DELIVERY_ID = 64,
    IPC_MAX_SASL = 16384,    // one SASL message
    IPC_MAX_UNREAD = 65536,  // input read by a session and not yet used
    IPC_MAX_PARKED = 4096,   // state of a parked connection
    IPC_MAX_TAG = 1024,
    IPC_MAX_LINES = 65536,   // output for a parked connection, or of a listing
    IPC_MAX_PREFIX = 65536,  // header fields put before a message at delivery
    IPC_MAX_RECORD = 131072, // a piece of configuration
    IPC_MAX_TARGETS = 1000,  // accounts behind one address
    IPC_MAX_DIGEST = 512,
    IPC_MAX_SIGNATURE = 2048,
    IPC_MAX_CERT = 16384,    // a certificate with a client's key
    IPC_MAX_TLS = 200,       // version, cipher and so on of a connection, as text
    IPC_MAX_BINDING = 64,    // what a channel is bound to
    IPC_MAX_KEY = 32,        // SHA-256 of a client's public key
    IPC_MAX_FINDINGS = 4096, // a list of domains
    IPC_MAX_REASON = 64,     // the word of a decision
    IPC_MAX_REPORT_TEXT = 4096, // what reports say in one place; a list of policies or hosts
    IPC_MAX_ARC_SETS = 50,   // RFC 8617 4.2.1
    IPC_MAX_STS_MX = MTASTS_MAX_POLICY, // the hosts of a policy, as text
    IPC_MAX_TRIED = 8192,    // hosts and their addresses
    IPC_MAX_WEB_BODY = 65536, // an answer of a web server
    IPC_MAX_WEB_FIELD = 4096,
};

enum ipc_protocol {
    IPC_PROTOCOL_SMTP = 1,
    IPC_PROTOCOL_SUBMISSION = 2,
    IPC_PROTOCOL_IMAP = 3,
    IPC_PROTOCOL_HTTP = 4,
};
enum { IPC_LAST_PROTOCOL = IPC_PROTOCOL_HTTP };

/*
 * What is known of a connection's TLS, of which only front and auth make something: its description,
 * a value for channel binding and its type, and the fingerprint of the client's own key. Empty
 * without.
 */
#define IPC_TLS_FACTS(F)                                                                           \
    F(str, tls, IPC_MAX_TLS)                                                                       \
    F(str, binding_type, 32)                                                                       \
    F(str, binding, IPC_MAX_BINDING)                                                               \
    F(str, client_key, IPC_MAX_KEY)
