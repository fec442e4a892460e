/*
 * What our IMAP can do, in the order of the announcement, and the names of all commands.
 */
#pragma once

#include "base/buf.h"

/* Capability names with spaces between them, without those that depend on the connection, and without the others given. */
void imap_capabilities_put(struct buf *out, struct str without);
/* Whether one of the names with spaces between them is that, in any case of its letters. */
bool imap_has_name(struct str names, struct str name);
/* Whether a command of that name (upper case) exists. */
bool imap_is_command(struct str name);
