/*
 * The DNS for verbs: a `resolve` process of their own, so that they need no running server.
 */
#pragma once

#include "policy/dns.h"

/*
 * Starts resolve, confined as in the server, and waits until it is ready. It ends with this process.
 * It logs errors only, unless -loglevel says otherwise.
 */
MUST_USE bool own_dns_open(struct dns *out, struct err *e);
