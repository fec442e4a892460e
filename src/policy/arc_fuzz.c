/*
 * A message with a chain, validated and made longer: what is sealed on a chain that holds, holds.
 */
#include "policy/dkim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct str headers[] = {STR_("From"), STR_("Subject"), STR_("DKIM-Signature")};

static void validate(struct arena *a, struct dkim_header *h, const struct dns *dns, struct str body,
                     struct arc_chain *chain, struct buf *seal)
{
    struct arc_sealer sealer = {STR("f.example"),
                                STR("s"),
                                {DKIM_ED25519_SHA256, fuzz_key(), fuzz_sign},
                                headers,
                                COUNT(headers)};
    struct dkim_policy policy = {.now_unix = 1600000000};
    struct dkim_bodies *bodies = dkim_bodies_new();
    struct err e = {0};

    arc_verify_begin(a, h, &policy, dns, bodies, chain);
    arc_seal_begin(bodies);
    dkim_bodies_feed(bodies, body);
    dkim_bodies_end(bodies);
    arc_verify_end(chain);
    if (chain->n > ARC_MAX_SETS || (chain->status > AUTH_PASS) != (chain->why.n > 0))
        die("chain of %zu is %s, because \"%.*s\"", chain->n, auth_result_name(chain->status),
            STR_FMT(chain->why));
    if (!arc_seal_end(h, chain, &sealer, STR("f.example; none"), 1600000000, bodies, seal, &e)) {
        if (e.kind != ERR_DENIED && e.kind != ERR_TEMPORARY)
            die("not sealed: %s", e.text);
        seal->n = 0;
    }
    dkim_bodies_free(bodies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF sealed = BUF_LIMIT(1 << 20), again = BUF_LIMIT(1 << 20);
    struct arc_chain chain, longer;
    struct str header, body;
    struct dns_zone zone;
    struct dns dns = fuzz_dns(&a, &zone);
    struct dkim_header *h;
    struct err e = {0};

    if (size > 64 * 1024)
        return 0;
    fuzz_split(str_at(data, size), &header, &body);
    h = dkim_header_parse(&a, header, &e);
    if (!h)
        return 0;
    validate(&a, h, &dns, body, &chain, &sealed);
    if (!sealed.n)
        return 0;
    buf_put(&sealed, header);
    h = dkim_header_parse(&a, buf_str(&sealed), &e);
    if (!h)
        return 0; // one field too many
    validate(&a, h, &dns, body, &longer, &again);
    if (longer.status != (chain.status == AUTH_FAIL ? AUTH_FAIL : AUTH_PASS))
        die("sealed on %s, and now %s: %.*s", auth_result_name(chain.status),
            auth_result_name(longer.status), STR_FMT(longer.why));
    return 0;
}
