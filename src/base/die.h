/*
 * The one way out when going on would be wrong: no memory, or our own bookkeeping is broken.
 */
#pragma once

#include "base/compiler.h"

/* Writes one line to standard error and aborts the process. */
_Noreturn void die(const char *format, ...) PRINTF_LIKE(1, 2);
