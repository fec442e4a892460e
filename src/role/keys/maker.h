/*
 * Keys of RSA are made in a thread: that takes up to seconds, in which nobody would get a signature.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* What became of it; pem lives until the call returns. *e says why there is none. */
typedef void maker_fn(bool is_ok, struct str pem, const struct err *e);

/*
 * Makes one, and then calls done from the loop of this process. One at a time: false, and ERR_TEMPORARY, while another is
 * being made.
 */
MUST_USE bool maker_begin(unsigned bits, maker_fn *done, struct err *e);
