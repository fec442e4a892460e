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
}

static void check_words(const struct dns_record *r)
{
    AUTO_BUF text = BUF_LIMIT(200000);

    dane_put_record(&text, r);
    if (text.full || !str_is_ascii(buf_str(&text)))
        die("a record that cannot be written");
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
    return 0;
}
