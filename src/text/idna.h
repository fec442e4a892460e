/*
 * Domain names in their two spellings, and Unicode normal form C.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/*
 * A domain as A-labels in lower case ("xn--..."). ERR_SYNTAX when it is no host name: labels of
 * letters, digits and hyphens, 63 octets each, 255 in all (RFC 1035 2.3.4, RFC 5891).
 */
MUST_USE bool domain_to_ascii(struct arena *a, struct str domain, struct str *out, struct err *e);
/* The same with U-labels; what is ASCII stays so. */
MUST_USE bool domain_to_unicode(struct arena *a, struct str domain, struct str *out,
                                struct err *e);

/* s in normal form C; s itself when it is not valid UTF-8. */
struct str text_nfc(struct arena *a, struct str s);
