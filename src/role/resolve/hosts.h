/*
 * The hosts file: names of this machine and its neighbours, answered before the DNS is asked.
 *
 * A name in it has the addresses it has there and no others; mail exchangers, texts and the rest are
 * still the DNS's, since the own host name usually is in the file. hosts(5).
 */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "policy/dns.h"

enum { HOSTS_MAX_BYTES = 8 << 20, HOSTS_TTL = 60 };

struct hosts {
    struct arena *a;
    struct map addresses; // name -> data of its A and AAAA records
    struct map names;     // name under in-addr.arpa or ip6.arpa -> data of its PTR records
};

/* Lines that are not understood are passed over. */
void hosts_parse(struct arena *a, struct str text, struct hosts *out);

/*
 * Answers a question for an address or a PTR record when the file has the name: *status and the
 * records, as dns_records_put writes them.
 */
bool hosts_answer(const struct hosts *h, struct str name, enum dns_type type,
                  enum dns_status *status, struct buf *records);
