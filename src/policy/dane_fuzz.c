/*
 * The TLSA records of a server, as they travel: what is used is what DANE for SMTP allows, and every
 * record is counted once.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/dane.h"
#include "policy/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(void *ctx, struct arena *a, struct str name, enum dns_type type,
                   struct dns_answer *out)
{
    const struct dns_answer *all = ctx;

    (void)a;
    *out = (struct dns_answer){.status = DNS_NODATA, .name = name};
    if (type == DNS_TLSA)
        *out = *all;
    if (type == DNS_CNAME)
        *out = (struct dns_answer){.status = DNS_OK, .is_secure = all->is_secure, .name = name};
}

// Whoever is not proved by DNSSEC, or does not answer, has no records that count.
static void check_doubts(struct dns *dns, struct arena *a, struct dane_server server, struct dns_answer *all)
{
    struct dane_result r;

    server.expanded_host = STR("elsewhere.example");
    for (unsigned way = 0; way < 8; way++) {
        server.is_next_hop_secure = way & 1;
        server.is_address_secure = way & 2;
        all->is_secure = way & 4;
        dane_find(dns, a, &server, &r);
        if ((!server.is_next_hop_secure || !all->is_secure) && r.status != DANE_NONE)
            die("records of nobody knows whom");
    }
    server.is_next_hop_secure = server.is_address_secure = true;
    all->status = all->n % 2 ? DNS_BOGUS : DNS_TEMPORARY;
    dane_find(dns, a, &server, &r);
    if (r.status != DANE_FAILED || r.is_bogus != (all->status == DNS_BOGUS) || r.n)
        die("an answer that was none");
}

static void check_words(const struct dns_record *r)
{
    AUTO_BUF text = BUF_LIMIT(200000);

    struct str line, usage, selector, matching;
    struct dns_record again;

    dane_put_record(&text, r);
    line = buf_str(&text);
    if (text.full || !str_is_ascii(line))
        die("a record that cannot be written");
    if (!str_next(&line, ' ', &usage) || !str_next(&line, ' ', &selector) || !str_next(&line, ' ', &matching) ||
        !dane_usage_parse(usage, &again.usage) || !dane_selector_parse(selector, &again.selector) ||
        !dane_matching_parse(matching, &again.matching) || again.usage != r->usage ||
        again.selector != r->selector || again.matching != r->matching)
        die("the words of a record say something else");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    struct dns_answer all = {.status = DNS_OK, .is_secure = true, .name = STR("_25._tcp.mx.example")};
    struct dns dns = {.ctx = &all, .lookup = answer};
    struct dane_server server = {.next_hop = STR("example.com"), .is_next_hop_secure = true,
                                 .host = STR("mx.example"), .is_address_secure = true, .port = 25};
    struct dane_result r;

    if (size > DNS_MAX_ANSWER || !dns_records_parse(&a, DNS_TLSA, str_at(data, size), &all, NULL))
        return 0;
    dane_find(&dns, &a, &server, &r);
    if (!all.n) {
        if (r.status != DANE_NONE)
            die("no records, and yet DANE");
        return 0;
    }
    if (r.status != (r.n ? DANE_USABLE : DANE_UNUSABLE) || r.n + r.n_unusable != all.n)
        die("records are not counted");
    for (size_t i = 0; i < r.n; i++) {
        if (!dane_is_usable(&r.records[i]) || r.records[i].usage < DANE_TA)
            die("record %zu cannot be used", i);
        check_words(&r.records[i]);
    }
    check_doubts(&dns, &a, server, &all);
    return 0;
}
