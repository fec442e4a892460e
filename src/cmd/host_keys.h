/*
 * Private keys that a host keeps when its certificates are renewed (HostPrivateKeyFiles), so that its TLSA
 * records stay right.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum host_key_kind { HOST_KEY_ECDSA, HOST_KEY_RSA, HOST_KEY_KINDS };
/* A new one: PEM, and the name of its file below the configuration's directory. */
MUST_USE bool host_key_new(struct arena *a, struct str host, int64_t now_unix, enum host_key_kind kind,
                           struct str *file, struct str *pem, struct err *e);
