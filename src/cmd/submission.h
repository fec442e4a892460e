/*
 * Handing a message to a submission server: what `mox sendmail` does with what moxsubmit.conf says.
 */
#pragma once

#include "config/sconf.h"
#include "proto/sasl/client.h"

struct submission {
    struct str local_hostname, host;
    unsigned port;
    bool has_tls, has_starttls, is_unverified;
    struct str username, password;
    bool has_mechanism;
    enum sasl_mechanism mechanism; // that the configuration names
    struct str client_cert, client_key; // PEM; empty: none
    struct str from;
    bool requires_tls; // REQUIRETLS, RFC 8689
};

/* A whole message with CR LF. All recipients get it, or none. */
struct submission_message {
    struct str text;
    const struct str *recipients;
    size_t n_recipients;
    bool has_8bit;
};

/* Connects, logs in and sends. False with the server's words, or what went wrong otherwise. */
MUST_USE bool submission_send(const struct submission *s, const struct submission_message *m,
                              struct err *e);
