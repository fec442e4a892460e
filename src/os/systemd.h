/*
 * Who started the server, if that is systemd: it is told when the server is ready (sd_notify(3)), and its journal is given
 * the level of each line (sd-daemon(3)).
 */
#pragma once

#include "base/err.h"

/* "READY=1", "STOPPING=1". Nothing, and true, when nobody wants to hear of it. */
MUST_USE bool systemd_notify(const char *state, struct err *e);

/* Whether what is written to fd goes to the journal. */
bool systemd_is_journal(int fd);
