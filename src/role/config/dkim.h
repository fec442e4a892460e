/*
 * The part of the configuration about signing: for `dkim`, and where the keys are, for the monitor.
 */
#pragma once

#include "config/config.h"

/*
 * Appends for every domain that signs a signing_domain with its accounts and selectors to domains, and
 * a signing_file per selector to files.
 */
void compile_dkim(struct arena *a, const struct config *config, const struct directory *directory,
                  struct buf *domains, struct buf *files);
