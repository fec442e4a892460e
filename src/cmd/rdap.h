/*
 * When a domain was registered, as its registry says (RDAP).
 */
#pragma once

#include "cmd/probe.h"

/*
 * Of the domain that is registered, which a name below it belongs to. ERR_NOT_FOUND when nobody says; ERR_TEMPORARY without a
 * network, and other errors of who was asked.
 */
MUST_USE bool domain_registered(const struct prober *p, struct str domain, int64_t *unix_seconds, struct err *e);
