/*
 * A DMARC record, and a zone of it in which a domain is judged: what is read and written again is the
 * same, and questions are bounded whatever the record says.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/dmarc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct everywhere {
    struct str text;
    unsigned n;
};

/* Every name has the record, but some have nothing or fail. */
static void answer(void *ctx, struct arena *a, struct str name, enum dns_type type,
                   struct dns_answer *out)
{
    struct everywhere *e = ctx;
    struct dns_record *r = ARENA_NEW(a, struct dns_record);

    *out = (struct dns_answer){.status = DNS_NODATA, .name = name};
    if (++e->n > 400)
        die("too many questions");
    if (type != DNS_TXT || name.n % 3 == 0)
        return;
    if (name.n % 11 == 0) {
        *out = (struct dns_answer){.status = DNS_TEMPORARY, .why = STR("no answer")};
        return;
    }
    r->data = e->text;
    out->status = DNS_OK;
    out->records = r;
    out->n = 1;
}

static void check_round_trip(struct arena *a, const struct dmarc_record *record)
{
    AUTO_BUF once = BUF_LIMIT(1 << 20), twice = BUF_LIMIT(1 << 20);
    struct dmarc_record again;
    struct err e = {0};

    dmarc_record_put(&once, record);
    if (once.n > DMARC_MAX_RECORD)
        return;
    if (!dmarc_record_parse(a, buf_str(&once), &again, &e))
        die("our own record cannot be read: %s", e.text);
    dmarc_record_put(&twice, &again);
    if (!str_eq(buf_str(&once), buf_str(&twice)))
        die("the record is not the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dmarc_dkim dkim[] = {{STR_("b.c.d.example.com"), STR_("s"), AUTH_PASS},
                                             {STR_("x.example.com"), STR_("s"), AUTH_TEMPERROR}};
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct everywhere all = {.text = str_at(data, size)};
    struct dns dns = {.ctx = &all, .lookup = answer};
    struct dmarc_input in = {.from = STR_("a.b.c.d.e.f.g.h.example.com"), .dkim = dkim,
                             .n_dkim = COUNT(dkim), .spf_domain = STR_("example.com"),
                             .spf = AUTH_PASS};
    struct dmarc_record record;
    struct dmarc_result result;
    struct dmarc_evaluation evaluation;
    struct err e = {0};

    if (size > 2 * DMARC_MAX_RECORD)
        return 0;
    if (dmarc_record_parse(&a, all.text, &record, &e)) {
        if (!record.p || record.pct > 100 || record.rua.n > REPORT_MAX_URIS)
            die("values out of their range");
        check_round_trip(&a, &record);
        for (size_t i = 0; i < record.rua.n; i++) {
            struct str localpart, domain;

            if (report_uri_mailto(&a, &record.rua.items[i], &localpart, &domain) &&
                (!localpart.n || !dns_name_is_ok(domain)))
                die("a strange address");
        }
    } else if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
        die("refused for a strange reason");
    dmarc_evaluate(&dns, &a, &in, &result);
    if (result.is_reject && result.status != AUTH_FAIL)
        die("rejected without a failure");
    (void)dmarc_evaluation_of(&a, &in, &result, STR(""), false, &evaluation);
    return 0;
}
