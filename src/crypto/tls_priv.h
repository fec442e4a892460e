/* What the two sides of TLS share. */
#pragma once

#include <openssl/ssl.h>

#include "crypto/tls.h"

struct tls {
    SSL *ssl;
    tls_may_use_key *may_use; // of a server; NULL: no certificate is asked for
    void *ctx;
};

/* What OpenSSL has noted as an error, as text. */
void tls_clear_errors(struct err *e, const char *what);
