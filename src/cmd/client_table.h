/*
 * What a mail client is told of the server (mox-web-http-api.md 3.3, "Client configuration").
 */
#pragma once

#include "config/config.h"

/* A table of services with a heading, a row for each of each listener, and a piece of advice. */
MUST_USE bool client_table_put(struct arena *a, const struct config *config, const struct sconf_node *domain,
                               struct buf *out, struct err *e);
