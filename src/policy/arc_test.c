#include "policy/dkim_test.h"

#include <string.h>

static void validate(struct arena *a, struct test_message m, struct dns_zone *zone,
                     struct arc_chain *out)
{
    AUTO_EXACT body = exact_copy(m.body);
    struct dns dns = dns_zone_dns(zone);
    struct dkim_policy policy = {.now_unix = NOW};
    struct dkim_bodies *bodies = dkim_bodies_new();
    struct err e = {0};
    struct dkim_header *h = dkim_header_parse(a, m.header, &e);

    CHECK(h != NULL);
    arc_verify_begin(a, h, &policy, &dns, bodies, out);
    dkim_bodies_feed(bodies, body.str);
    dkim_bodies_end(bodies);
    arc_verify_end(out);
    dkim_bodies_free(bodies);
}

TEST(arc_vectors_valimail_validation)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str rest = vector_file(&a, "arc/valimail/validation.txt"), line, text, name, cv;
    struct dns_zone zone;
    int n = 0;

    test_zone(&a, vector_file(&a, "arc/valimail/validation.zone"), &zone);
    while (next_section(&rest, STR("=== "), &line, &text)) {
        struct arc_chain chain;

        CHECK(str_cut(line, ' ', &name, &cv));
        validate(&a, test_message_of(&a, text), &zone, &chain);
        CHECK_STR(arena_printf(&a, "%.*s %s", STR_FMT(name), auth_result_name(chain.status)), line);
        CHECK_CASE((chain.status == AUTH_FAIL) == (chain.why.n > 0), n);
        n++;
    }
    CHECK(n == 171);
}

// Key records, an empty line, the message.
TEST(arc_vectors_mail_auth)
{
    static const char *const paths[] = {"arc/mail-auth/001.txt", "arc/mail-auth/002.txt"};

    for (size_t i = 0; i < COUNT(paths); i++) {
        AUTO_ARENA a = ARENA_LIMIT(16 << 20);
        struct str text = vector_file(&a, paths[i]), name, value;
        ptrdiff_t end = str_find_str(text, STR("\n\n"));
        struct cur c = cur_of(str_sub(text, 0, (size_t)end));
        AUTO_BUF records = BUF_LIMIT(100000);
        struct arc_chain chain;
        struct dns_zone zone;
        struct str line;

        while (cur_line(&c, &line))
            if (str_cut(line, ' ', &name, &value))
                buf_printf(&records, "%.*s TXT %.*s\n", STR_FMT(name), STR_FMT(value));
        test_zone(&a, buf_str(&records), &zone);
        validate(&a, test_message_of(&a, str_from(text, (size_t)end + 2)), &zone, &chain);
        CHECK_STR(str_of(auth_result_name(chain.status)), STR("pass"));
    }
}

/* --- sealing ---------------------------------------------------------------------------------- */

// The value of a field of that name of a written set, without white space.
static struct str bare_value(struct arena *a, struct dkim_header *h, const char *name)
{
    const struct dkim_name *found = dkim_header_name(h, str_of(name));

    CHECK(found != NULL);
    return tag_without_space(a, h->fields[found->last - 1].value);
}

static struct str without_b(struct arena *a, struct str tags)
{
    ptrdiff_t b = str_find_str(tags, STR(";b=")), end;

    CHECK(b >= 0);
    end = str_find(str_from(tags, (size_t)b + 1), ';');
    CHECK(end >= 0);
    return arena_printf(a, "%.*s%.*s", (int)b, tags.p,
                        STR_FMT(str_from(tags, (size_t)(b + 1 + end))));
}

// The suite's do not always end with a semicolon.
static struct str without_end(struct str s)
{
    return str_ends(s, STR(";")) ? str_sub(s, 0, s.n - 1) : s;
}

struct seal_case {
    struct str t, headers, server, seal, signature, results, message;
};

static void read_case(struct arena *a, struct str text, struct seal_case *out)
{
    struct str name, value, *fields[] = {&out->t,         &out->headers, &out->server, &out->seal,
                                         &out->signature, &out->results, &out->message};
    static const char *const names[] = {"t",   "sig-headers", "srv-id", "AS",
                                        "AMS", "AAR",         "message"};

    while (next_section(&text, STR("--- "), &name, &value))
        for (size_t i = 0; i < COUNT(names); i++)
            if (str_eq(name, str_of(names[i])))
                *fields[i] = i < 6 ? str_trim(value) : arena_dup(a, value);
}

/*
 * Authentication-Results of this server, joined as RFC 8617 4.1.1 has it: what ARC seals is theirs
 * to say, and the suite's cases have more than one.
 */
static struct str results_of(struct arena *a, struct dkim_header *h, struct str server)
{
    AUTO_BUF out = BUF_LIMIT(10000);
    struct str id, rest;

    buf_put(&out, server);
    for (size_t i = 0; i < h->n; i++)
        if (str_eq_ci(h->fields[i].name, STR("Authentication-Results")) &&
            str_cut(h->fields[i].value, ';', &id, &rest) && str_eq(str_trim(id), server)) {
            rest = str_trim(rest);
            buf_printf(&out, "; %.*s", STR_FMT(without_end(rest)));
        }
    return header_unfold(a, buf_str(&out));
}

static void check_seal(struct arena *a, const struct seal_case *want, struct str name,
                       struct dns_zone *zone, struct private_key *key)
{
    AUTO_BUF out = BUF_LIMIT(100000), all = BUF_LIMIT(1 << 20);
    struct test_message m = test_message_of(a, want->message);
    struct arc_sealer sealer = {
        STR("example.org"), STR("dummy"), {DKIM_RSA_SHA256, key, test_sign_with_key}, NULL, 0};
    struct dkim_bodies *bodies = dkim_bodies_new();
    struct dns dns = dns_zone_dns(zone);
    struct dkim_policy policy = {.now_unix = NOW};
    struct str headers[20], rest = want->headers;
    struct dkim_header *h, *made;
    struct arc_chain chain;
    struct err e = {0};
    uint64_t t;
    bool ok;

    while (tag_part(&rest, &headers[sealer.n_headers]))
        sealer.n_headers++;
    sealer.headers = headers;
    CHECK(str_u64(want->t, UINT32_MAX, &t));
    h = dkim_header_parse(a, m.header, &e);
    arc_verify_begin(a, h, &policy, &dns, bodies, &chain);
    arc_seal_begin(bodies);
    dkim_bodies_feed(bodies, m.body);
    dkim_bodies_end(bodies);
    arc_verify_end(&chain);
    ok = arc_seal_end(h, &chain, &sealer, results_of(a, h, want->server), (int64_t)t, bodies, &out,
                      &e);
    dkim_bodies_free(bodies);
    if (!want->seal.n) {
        CHECK(!ok && e.kind == ERR_DENIED); // the chain has ended
        return;
    }
    CHECK_STR(str_of(e.text), STR(""));
    made = dkim_header_parse(a, buf_str(&out), &e);
    CHECK(made != NULL && made->n == 3);
    CHECK_STR(arena_printf(a, "%.*s %.*s", STR_FMT(name),
                           STR_FMT(bare_value(a, made, "ARC-Message-Signature"))),
              arena_printf(a, "%.*s %.*s", STR_FMT(name),
                           STR_FMT(tag_without_space(a, want->signature))));
    CHECK_STR(without_end(bare_value(a, made, "ARC-Authentication-Results")),
              without_end(tag_without_space(a, want->results)));
    // Its signature depends on where the other two are folded; that it is right is seen below.
    CHECK_STR(without_b(a, bare_value(a, made, "ARC-Seal")),
              without_b(a, tag_without_space(a, want->seal)));
    if (chain.status == AUTH_FAIL)
        return;
    buf_put(&all, buf_str(&out));
    buf_put(&all, m.header);
    validate(a, (struct test_message){buf_str(&all), m.body}, zone, &chain);
    CHECK_STR(str_of(auth_result_name(chain.status)), STR("pass"));
}

TEST(arc_vectors_valimail_sealing)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str rest = vector_file(&a, "arc/valimail/sign.txt"), name, text;
    struct err e = {0};
    struct private_key *key = private_key_parse(vector_file(&a, "arc/valimail/sign.key"), &e);
    struct dns_zone zone;
    int n = 0;

    CHECK(key != NULL);
    test_zone(&a, vector_file(&a, "arc/valimail/validation.zone"), &zone);
    while (next_section(&rest, STR("=== "), &name, &text)) {
        struct seal_case want = {{0}};

        read_case(&a, text, &want);
        check_seal(&a, &want, name, &zone, key);
        n++;
    }
    CHECK(n == 17);
    private_key_free(key);
}

/* --- long chains ------------------------------------------------------------------------------ */

struct forwarder {
    struct private_key *key;
    struct arc_sealer sealer;
    struct dns_zone zone;
};

static void forwarder_init(struct arena *a, struct forwarder *f)
{
    static const struct str headers[] = {STR_("From"), STR_("Subject")};
    struct dkim_record record = {.kind = DKIM_KEY_ED25519};
    AUTO_BUF zone = BUF_LIMIT(1000);
    struct err e = {0};
    struct str pem;

    CHECK(key_ed25519(a, &pem, &e));
    f->key = private_key_parse(pem, &e);
    CHECK(private_key_public(a, f->key, &record.public_key, &e));
    BUF_PUT(&zone, "s._domainkey.f.example TXT ");
    dkim_record_put(&zone, &record);
    test_zone(a, arena_dup(a, buf_str(&zone)), &f->zone);
    f->sealer = (struct arc_sealer){
        STR("f.example"), STR("s"), {DKIM_ED25519_SHA256, f->key, test_sign_with_key}, headers, 2};
}

// The message with one set more; the chain as it was before.
static bool forward(struct arena *a, struct forwarder *f, struct test_message *m,
                    struct arc_chain *chain, struct err *e)
{
    struct dkim_bodies *bodies = dkim_bodies_new();
    struct dns dns = dns_zone_dns(&f->zone);
    struct dkim_policy policy = {.now_unix = NOW};
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct dkim_header *h = dkim_header_parse(a, m->header, e);
    bool ok;

    arc_verify_begin(a, h, &policy, &dns, bodies, chain);
    arc_seal_begin(bodies);
    dkim_bodies_feed(bodies, m->body);
    dkim_bodies_end(bodies);
    arc_verify_end(chain);
    ok = arc_seal_end(h, chain, &f->sealer, STR("f.example; none"), NOW, bodies, &out, e);
    dkim_bodies_free(bodies);
    buf_put(&out, m->header);
    if (ok)
        m->header = arena_dup(a, buf_str(&out));
    return ok;
}

// attacks.md: a chain of 50, and no longer.
TEST(arc_chain_of_fifty)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct test_message m = {STR("From: a@b\r\nSubject: s\r\n"), STR("text\r\n")};
    struct arc_chain chain;
    struct forwarder f;
    struct err e = {0};

    forwarder_init(&a, &f);
    for (size_t i = 0; i < ARC_MAX_SETS; i++) {
        CHECK_CASE(forward(&a, &f, &m, &chain, &e), i);
        CHECK_CASE(chain.n == i && chain.status == (i ? AUTH_PASS : AUTH_NONE), i);
    }
    f.zone.n_lookups = 0;
    CHECK(!forward(&a, &f, &m, &chain, &e) && e.kind == ERR_DENIED);
    CHECK(chain.status == AUTH_PASS && chain.n == ARC_MAX_SETS);
    CHECK(f.zone.n_lookups == ARC_MAX_SETS + 1);
    // One more that is made by hand is refused before any key is asked for.
    m.header = arena_printf(
        &a, "ARC-Seal: i=51; a=ed25519-sha256; b=AAAA; cv=pass; d=f.example; s=s\r\n%.*s",
        STR_FMT(m.header));
    f.zone.n_lookups = 0;
    validate(&a, m, &f.zone, &chain);
    CHECK(chain.status == AUTH_FAIL && !f.zone.n_lookups);
    private_key_free(f.key);
}

TEST(arc_chain_broken)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct test_message m = {STR("From: a@b\r\nSubject: s\r\n"), STR("text\r\n")}, other;
    struct dns_zone none;
    struct arc_chain chain;
    struct forwarder f;
    struct err e = {0};

    forwarder_init(&a, &f);
    for (int i = 0; i < 3; i++)
        CHECK(forward(&a, &f, &m, &chain, &e));
    validate(&a, m, &f.zone, &chain);
    CHECK(chain.status == AUTH_PASS);
    other = m;
    other.body = STR("text\r\nmore\r\n");
    validate(&a, other, &f.zone, &chain);
    CHECK(chain.status == AUTH_FAIL);
    // A failed chain is sealed once more, with cv=fail, and never again.
    CHECK(forward(&a, &f, &other, &chain, &e));
    CHECK(!forward(&a, &f, &other, &chain, &e) && e.kind == ERR_DENIED && chain.is_ended);
    other = m;
    other.header = arena_printf(&a, "%.*sSubject: another\r\n", STR_FMT(m.header));
    validate(&a, other, &f.zone, &chain);
    CHECK(chain.status == AUTH_FAIL);
    // Without an answer there is no verdict, and no seal that would claim one.
    test_zone(&a, STR("s._domainkey.f.example * !bogus\n"), &none);
    validate(&a, m, &none, &chain);
    CHECK(chain.status == AUTH_TEMPERROR && chain.why.n);
    f.zone = none;
    CHECK(!forward(&a, &f, &m, &chain, &e) && e.kind == ERR_TEMPORARY);
    private_key_free(f.key);
}

// A chain that dkimpy made (test/vectors/arc/dkimpy), and is broken by a change.
TEST(arc_chain_of_dkimpy)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct test_message m = test_message_of(&a, vector_file(&a, "arc/dkimpy/three.eml"));
    struct arc_chain chain;
    struct dns_zone zone;

    test_zone(&a,
              STR("test._domainkey.football.example.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUA"
                  "A4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb"
                  "3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G"
                  "+2kryOTIKT+l/K4w3QIDAQAB"),
              &zone);
    validate(&a, m, &zone, &chain);
    CHECK_STR(str_of(auth_result_name(chain.status)), STR("pass"));
    CHECK(chain.n == 3 && chain.sets[2].cv == AUTH_PASS);
    CHECK(str_find_str(chain.sets[0].results, STR("dkim=pass")) != STR_NONE);
    m.body = STR("another\r\n");
    validate(&a, m, &zone, &chain);
    CHECK(chain.status == AUTH_FAIL);
}
