/*
 * What our IMAP can do, in the order of the announcement, and the names of all commands.
 */
#pragma once

#include "base/buf.h"

/* Capability names with spaces between them, without those that depend on the connection. */
void imap_capabilities_put(struct buf *out);
/* Whether a command of that name (upper case) exists. */
bool imap_is_command(struct str name);
