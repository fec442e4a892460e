/*
 * Certificates from authorities: for `acme` and `keys` the authorities and the names they may be asked for, and for the
 * monitor the files with keys.
 */
#pragma once

#include "config/config.h"
#include "ipc/compiled.h"

void compile_acme(struct arena *a, const struct config *config, struct buf *out, struct buf *files,
                  struct buf *dial);
/* The port on which a listener answers tls-alpn-01; 0: it has no authority. */
uint32_t acme_port_of(const struct config *config, const struct sconf_node *listener);
