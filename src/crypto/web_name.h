/*
 * Which names a web server's certificate may be for, when another library shakes hands.
 */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"

/*
 * Of an SSL_CTX about to be used: only DNS-IDs count, and a wildcard only for the whole left-most label
 * (RFC 8461 3.3).
 */
MUST_USE bool web_name_require(void *ssl_ctx, const char *host);
