/*
 * An evaluation: the first line is the client's address, HELO, local part and domain between
 * spaces, the rest the zone. Lines of the zone that are wrong are left out. Whatever it is, the
 * number of questions is bounded, and what comes out is safe in a header.
 */
#include <stdint.h>

#include "policy/dns_fuzz.h"
#include "policy/spf/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            die("byte %d in a result", s.p[i]);
}

// Each line of it is one line: nothing of the client's ends one.
static void check_received(const struct spf_query *q, const struct spf_result *r)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct cur c;
    struct str line;

    spf_put_received(&out, q, r);
    c = cur_of(buf_str(&out));
    for (unsigned n = 0; cur_line(&c, &line); n++)
        if (line.n > 998 || n > 8 || str_find(line, '\r') != STR_NONE ||
            str_find(line, '\0') != STR_NONE || (n && !str_starts(line, STR("\t"))))
            die("a Received-SPF that is more than one field");
    if (out.full || !str_ends(buf_str(&out), STR("\r\n")))
        die("a Received-SPF without its end");
}

static bool take_query(struct str line, struct spf_query *q)
{
    struct str ip;

    *q = (struct spf_query){.receiver = STR("mx.example"), .now_unix = 1700000000};
    return str_cut(line, ' ', &ip, &line) && str_cut(line, ' ', &q->helo, &line) &&
           str_cut(line, ' ', &q->local_part, &q->domain) && ip_parse(ip, &q->ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 17);
    struct cur c = cur_of(str_at(data, size));
    struct spf_query q;
    struct dns_zone zone;
    struct str line;
    struct dns dns;

    if (size > UINT16_MAX || !cur_line(&c, &line) || !take_query(line, &q))
        return 0;
    fuzz_zone(&a, &c, &text, &zone);
    dns = dns_zone_dns(&zone);
    for (int i = 0; i < 2; i++) {
        struct spf_result r;

        zone.n_lookups = 0;
        spf_check(&dns, &a, &q, i ? SPF_HELO : SPF_MAILFROM, &r);
        if (zone.n_lookups > SPF_MAX_QUESTIONS)
            die("%u questions", zone.n_lookups);
        if (r.explanation.n > SPF_MAX_EXPLANATION || r.why.n > SPF_MAX_WHY)
            die("a text that is too long");
        check_line(r.explanation);
        check_line(r.why);
        check_line(r.mechanism);
        check_received(&q, &r);
    }
    return 0;
}
