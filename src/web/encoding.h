/*
 * Whether an answer is compressed.
 */
#pragma once

#include "base/str.h"

/* Whether an Accept-Encoding field takes gzip (RFC 9110 12.5.3): named, or by "*", and not with q=0. */
bool encoding_takes_gzip(struct str accept_encoding);

/* Whether bodies of this Content-Type become smaller: texts, not images that are compressed already. */
bool encoding_is_worth_it(struct str content_type);
