/*
 * The unit for systemd (mox-imap-store-cli-config.md 5.5); packaging/mox.service, in the program.
 */
#pragma once

#include "base/buf.h"

/* The unit of a server in directory dir, which has the program, config and data. */
void service_unit_put(struct buf *out, struct str dir);
