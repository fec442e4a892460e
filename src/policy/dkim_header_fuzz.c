/*
 * A message with signatures: verified, and signed. Whatever it is, each result has a reason, and
 * what we sign we verify.
 */
#include "policy/dkim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_results(const struct dkim_verification *v)
{
    if (v->n > DKIM_MAX_SIGNATURES)
        die("%zu results", v->n);
    for (size_t i = 0; i < v->n; i++) {
        const struct dkim_result *r = &v->results[i];

        if ((r->status == AUTH_PASS) != !r->why.n)
            die("result %zu is %s, because \"%.*s\"", i, auth_result_name(r->status),
                STR_FMT(r->why));
        if (r->status == AUTH_PASS && (!r->has_record || !dkim_signs(&r->signature, STR("From"))))
            die("result %zu passes without a key or From", i);
    }
}

static void verify(struct arena *a, struct dkim_header *h, const struct dns *dns, struct str body,
                   struct dkim_verification *out)
{
    struct dkim_policy policy = {.now_unix = 1600000000};
    struct dkim_bodies *bodies = dkim_bodies_new();

    dkim_verify_begin(a, h, &policy, dns, bodies, out);
    dkim_bodies_feed(bodies, body);
    dkim_bodies_end(bodies);
    dkim_verify_end(out);
    dkim_bodies_free(bodies);
    check_results(out);
}

static void sign(struct arena *a, struct dkim_header *h, const struct dns *dns, struct str header,
                 struct str body, bool is_relaxed)
{
    struct dkim_selector with = {.name = STR("s"),
                                 .domain = STR("f.example"),
                                 .signer = {DKIM_ED25519_SHA256, fuzz_key(), fuzz_sign},
                                 .headers = dkim_default_headers,
                                 .n_headers = dkim_n_default_headers,
                                 .header_is_relaxed = is_relaxed,
                                 .body_is_relaxed = is_relaxed};
    struct dkim_bodies *bodies = dkim_bodies_new();
    AUTO_BUF out = BUF_LIMIT(8 << 20);
    struct dkim_verification v;
    struct err e = {0};
    bool ok;

    dkim_sign_begin(&with, 1, bodies);
    dkim_bodies_feed(bodies, body);
    dkim_bodies_end(bodies);
    ok = dkim_sign_end(h, &with, 1, str_sub(body, 0, 20), 1600000000, bodies, &out, &e);
    dkim_bodies_free(bodies);
    if (!ok)
        return;
    buf_put(&out, header);
    h = dkim_header_parse(a, buf_str(&out), &e);
    if (!h)
        return; // too long by now
    verify(a, h, dns, body, &v);
    if (v.results[0].status != AUTH_PASS)
        die("our signature is %s: %.*s", auth_result_name(v.results[0].status),
            STR_FMT(v.results[0].why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    struct dkim_verification v;
    struct str header, body;
    struct dns_zone zone;
    struct dns dns = fuzz_dns(&a, &zone);
    struct err e = {0};
    struct dkim_header *h;

    if (size > 64 * 1024)
        return 0;
    fuzz_split(str_at(data, size), &header, &body);
    h = dkim_header_parse(&a, header, &e);
    if (!h) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("a header refused for a strange reason");
        return 0;
    }
    verify(&a, h, &dns, body, &v);
    sign(&a, h, &dns, header, body, size & 1);
    return 0;
}
