/* What the two sides of TLS share. */
#pragma once

#include <openssl/ssl.h>

#include "crypto/tls.h"

struct tls {
    SSL *ssl;
    struct tls_server *server; // of a server
    bool is_challenge;         // of a server: tls-alpn-01 is being answered
    struct buf protocols;      // of a server: as ALPN has them; empty: the server's
    tls_may_use_key *may_use; // of a server; NULL: no certificate is asked for
    void *ctx;
    // What ended it, for tls_end_put and tls_end_put_label: an alert, the other side's or ours, or something else.
    enum { ALERT_NONE, ALERT_OURS, ALERT_THEIRS } alert;
    uint8_t alert_number;
    bool is_closed, is_reset, is_not_tls;
};

/* For SSL_set_info_callback. */
void tls_note_alert(const SSL *ssl, int where, int value);
/* A time of a certificate, as Unix time. */
MUST_USE bool unix_of_asn1(const ASN1_TIME *t, int64_t *out);
/* What OpenSSL has noted as an error, as text. */
void tls_clear_errors(struct err *e, const char *what);
