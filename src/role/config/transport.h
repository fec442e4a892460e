/*
 * Transports and routes, for the queue, and their ports, for dial.
 */
#pragma once

#include "config/config.h"

void compile_transports(struct arena *a, const struct config *config, struct buf *transports,
                        struct buf *dial_ports);
