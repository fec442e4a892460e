/*
 * A scripted DNS for tests and fuzzers: answers from a text, with every failure that can be wished
 * for.
 *
 *     # name            type   data
 *     example.com       MX     10 mx.example.com
 *     mx.example.com    A      192.0.2.1
 *     example.com       TXT    v=spf1 mx -all        (the rest of the line, or "strings" "joined")
 *     _25._tcp.mx.example.com TLSA 3 1 1 00ff
 *     www.example.com   CNAME  example.com
 *     slow.example      *      !timeout              (any type; !servfail, !nxdomain, !nodata, !bogus)
 *     $secure           yes                          (from here on; at first nothing is secure)
 *
 * In the name at the beginning of a line, \DDD is the byte with that number; in CNAME and other data
 * it is not. A name counts as existing when a line has it or a name below it. A name is compared without regard
 * to case, a later line adds a record, and what begins with ! replaces all records of that type.
 */
#pragma once

#include "policy/dns.h"

enum { DNS_ZONE_MAX_CNAMES = 8 };

struct dns_zone_entry;

struct dns_zone {
    struct dns_zone_entry *entries; // in the arena it was parsed into
    size_t n, cap;
    unsigned n_lookups; // answered so far
};

/* ERR_SYNTAX names the line. The text must live as long as the zone. */
MUST_USE bool dns_zone_parse(struct arena *a, struct str text, struct dns_zone *out,
                             struct err *e);
/* The zone as whoever answers. */
struct dns dns_zone_dns(struct dns_zone *zone);
