/*
 * The PROXY protocol, versions 1 and 2: what a load balancer says, before anything else, of the connection that it passes on.
 * Only those whom the configuration names are to be read with this.
 */
#pragma once

#include "base/err.h"
#include "base/ip.h"

enum { PROXY_MAX_HEADER = 2048 };

/* How many more bytes belong to the header, at least: 0 when it is whole. No byte behind it need be read. */
MUST_USE bool proxy_need(struct str in, size_t *more, struct err *e);
/* Of a whole header: the client's address. False in *has_source: the proxy speaks for itself, or does not say. */
MUST_USE bool proxy_parse(struct str header, bool *has_source, struct ip *source, struct err *e);
