/* A DNS out of an input: lines of policy/dns_zone.h, of which those that are wrong are left out. */
#pragma once

#include "base/cur.h"
#include "base/die.h"
#include "policy/dns_zone.h"

/* What is left of the input. text is where the zone's lines are kept. */
static inline void fuzz_zone(struct arena *a, struct cur *c, struct buf *text, struct dns_zone *out)
{
    struct str line;

    while (cur_line(c, &line)) {
        AUTO_ARENA unused = ARENA_LIMIT(4 << 20);
        struct dns_zone zone;

        if (!dns_zone_parse(&unused, line, &zone, NULL))
            continue;
        buf_put(text, line);
        buf_put_char(text, '\n');
    }
    if (!dns_zone_parse(a, buf_str(text), out, NULL))
        die("good lines make a bad zone");
}
