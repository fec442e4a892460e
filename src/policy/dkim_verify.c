/*
 * Verifying signatures (RFC 6376 6.1), and what is hashed of a header for them.
 */
#include <string.h>

#include "base/cur.h"
#include "base/map.h"
#include "policy/dkim_priv.h"

/* --- the header ------------------------------------------------------------------------------- */

// The place of a name in the table, taken or free.
static struct dkim_name *name_slot(struct dkim_header *h, struct str lower)
{
    size_t at = (size_t)str_hash(lower) & (h->n_names - 1);

    while (h->names[at].name.p && !str_eq(h->names[at].name, lower))
        at = (at + 1) & (h->n_names - 1);
    return &h->names[at];
}

struct dkim_name *dkim_header_name(struct dkim_header *h, struct str name)
{
    char lower[128];
    struct dkim_name *slot;

    if (name.n > sizeof lower)
        return NULL; // dkim_header_parse takes no such field
    for (size_t i = 0; i < name.n; i++)
        lower[i] = ascii_lower(name.p[i]);
    slot = name_slot(h, str_at(lower, name.n));
    return slot->name.p ? slot : NULL;
}

/*
 * One field with its continuation lines. Other than header_next, blanks before the colon do not
 * keep it from being one (RFC 5322 4.5): what another reader may take for a field must not slip in
 * beside those that are signed.
 */
static bool take_field(struct cur *c, struct dkim_field *out)
{
    const char *start = c->p;
    struct str line, raw;

    do
        if (!cur_line(c, &line))
            return false;
    while (cur_peek(c) == ' ' || cur_peek(c) == '\t');
    raw = str_at(start, (size_t)(c->p - start));
    if (!str_cut(raw, ':', &out->name, &out->value))
        out->name = out->value = STR(""); // no field
    while (out->name.n &&
           (out->name.p[out->name.n - 1] == ' ' || out->name.p[out->name.n - 1] == '\t'))
        out->name.n--;
    if (str_ends(out->value, STR("\r\n")))
        out->value.n -= 2;
    out->raw = raw;
    return true;
}

static bool has_crlf_only(struct str text)
{
    struct str line;

    while (str_cut(text, '\n', &line, &text))
        if (!str_ends(line, STR("\r")))
            return false;
    return !text.n;
}

static void add_names(struct arena *a, struct dkim_header *h)
{
    h->n_names = 16;
    while (h->n_names < 2 * h->n)
        h->n_names *= 2;
    h->names = ARENA_ARRAY(a, h->n_names, struct dkim_name);
    for (size_t i = 0; i < h->n; i++) {
        struct dkim_field *f = &h->fields[i];
        struct str lower = arena_lower(a, f->name);
        struct dkim_name *name = name_slot(h, lower);

        name->name = lower;
        f->above = name->last;
        name->last = i + 1;
        name->count++;
    }
}

struct dkim_header *dkim_header_parse(struct arena *a, struct str text, struct err *e)
{
    enum { MAX_NAME = 128 };
    struct dkim_header *h = ARENA_NEW(a, struct dkim_header);
    struct cur c = cur_of(text);
    struct dkim_field f = {0};

    if (text.n > DKIM_MAX_HEADER_BYTES) {
        (void)fail(e, ERR_LIMIT, "a header of more than %d bytes", DKIM_MAX_HEADER_BYTES);
        return NULL;
    }
    if (!has_crlf_only(text)) {
        (void)fail(e, ERR_SYNTAX, "a line of the header does not end in CR LF");
        return NULL;
    }
    // Such a line would continue whatever field is put before it.
    if (cur_peek(&c) == ' ' || cur_peek(&c) == '\t') {
        (void)fail(e, ERR_SYNTAX, "the header begins with a blank");
        return NULL;
    }
    while (take_field(&c, &f)) {
        if (str_eq(f.raw, STR("\r\n")))
            break; // the end of the header, if the text has it
        if (!f.name.n || f.name.n > MAX_NAME)
            continue; // nobody's field
        if (h->n == DKIM_MAX_FIELDS) {
            (void)fail(e, ERR_LIMIT, "a header of more than %d fields", DKIM_MAX_FIELDS);
            return NULL;
        }
        *ARENA_PUSH(a, h->fields, &h->n, &h->cap) = f;
    }
    add_names(a, h);
    return h;
}

/* RFC 6376 5.4.2: a name takes its fields from the lowest up, and then stands for none. */
void dkim_hash_fields(struct sha256 *hash, struct dkim_header *h, const struct str *names, size_t n,
                      size_t skip, bool is_relaxed)
{
    AUTO_BUF text = BUF_LIMIT(DKIM_MAX_HEADER_BYTES + 2);
    unsigned round = ++h->round;

    for (size_t i = 0; i < n; i++) {
        struct dkim_name *name = dkim_header_name(h, names[i]);

        if (!name)
            continue;
        if (name->round != round)
            name->next = name->last;
        name->round = round;
        if (name->next && name->next == skip)
            name->next = h->fields[skip - 1].above;
        if (!name->next)
            continue;
        buf_reset(&text);
        dkim_canon_field(&text, h->fields[name->next - 1].raw, is_relaxed);
        sha256_put(hash, buf_str(&text));
        name->next = h->fields[name->next - 1].above;
    }
}

void dkim_hash_signature(struct sha256 *hash, struct str raw, struct str b_field, bool is_relaxed)
{
    AUTO_BUF text = BUF_LIMIT(DKIM_MAX_HEADER_BYTES);

    dkim_canon_signature(&text, raw, b_field, is_relaxed);
    sha256_put(hash, buf_str(&text));
}

/* --- signatures ------------------------------------------------------------------------------- */

static void decide(struct dkim_result *r, enum auth_result status, struct str why)
{
    r->status = status;
    r->why = why;
}

// What the field alone says. AUTH_NONE: nothing against it so far.
static void judge_field(struct arena *a, const struct dkim_policy *policy, struct str value,
                        struct dkim_result *r)
{
    struct err e = {0};

    r->field = value;
    if (!dkim_signature_parse(a, value, &r->signature, &e)) {
        decide(r, AUTH_PERMERROR, arena_dup(a, str_of(e.text)));
        return;
    }
    r->has_signature = true;
    if (r->signature.expires_at >= 0 && r->signature.expires_at < policy->now_unix)
        decide(r, AUTH_PERMERROR, STR("the signature has expired"));
    else if (policy->is_public_suffix && policy->is_public_suffix(r->signature.domain))
        decide(r, AUTH_PERMERROR, STR("d= is a public suffix"));
    else if (r->signature.algorithm == DKIM_RSA_SHA1) // RFC 8301 3.1
        decide(r, AUTH_POLICY, STR("rsa-sha1 is no longer accepted"));
}

// RFC 6376 3.6.1, t=s: no subdomains in i=.
static bool is_strictly_domain(const struct dkim_signature *s)
{
    struct str domain = str_from(s->identity, (size_t)(str_find_last(s->identity, '@') + 1));

    return !s->identity.n || str_eq_ci(domain, s->domain);
}

/*
 * RFC 6376 8.15: a field that a message has once (RFC 5322 3.6) is there again, above the one that is
 * signed, where most readers see it. Who sends a signed message again must not give it another subject.
 */
static bool has_unsigned_second(struct dkim_header *h, const struct dkim_signature *s)
{
    static const struct str once[] = {STR_("From"), STR_("Subject"), STR_("Date"), STR_("To"),
                                      STR_("Cc"), STR_("Sender"), STR_("Reply-To"),
                                      STR_("Message-Id"), STR_("In-Reply-To"), STR_("References"),
                                      STR_("Content-Type"), STR_("Content-Transfer-Encoding")};

    for (size_t i = 0; i < COUNT(once); i++) {
        const struct dkim_name *name = dkim_header_name(h, once[i]);
        size_t n = 0;

        for (size_t k = 0; name && name->count > 1 && k < s->n_headers; k++)
            n += str_eq_ci(s->headers[k], once[i]);
        if (n && n < name->count)
            return true;
    }
    return false;
}

// The key, and what is signed of the header; wants the body's hash when that is well.
static void judge_header(struct arena *a, struct dkim_header *h, size_t number,
                         const struct dns *dns, struct dkim_bodies *bodies, struct dkim_result *r,
                         const struct dkim_body_hash **want)
{
    struct dkim_signature *s = &r->signature;
    unsigned char digest[SHA256_BYTES];
    struct sha256 *hash;
    struct dkim_key key;

    dkim_key_get(dns, a, s, &key);
    r->is_secure = key.lookup.is_secure;
    r->has_record = key.lookup.status == AUTH_PASS;
    r->record = key.lookup.record;
    if (!key.key) {
        decide(r, key.status, key.why);
        return;
    }
    r->key_bits = public_key_bits(key.key);
    hash = sha256_new();
    dkim_hash_fields(hash, h, s->headers, s->n_headers, number, s->header_is_relaxed);
    dkim_hash_signature(hash, h->fields[number - 1].raw, s->b_field, s->header_is_relaxed);
    sha256_end(hash, digest);
    sha256_free(hash);
    if (r->record.is_strict && !is_strictly_domain(s))
        decide(r, AUTH_PERMERROR, STR("i= is below d=, which the key does not allow"));
    else if (!public_key_verify(key.key, digest, s->signature))
        decide(r, AUTH_FAIL, STR("the signature does not fit the header"));
    else if (has_unsigned_second(h, s))
        decide(r, AUTH_POLICY, STR("a field that is signed is there again, and that is not"));
    else
        *want = dkim_bodies_want(bodies, s->body_is_relaxed,
                                 s->has_length ? s->length : DKIM_WHOLE_BODY);
    public_key_free(key.key);
}

// Each signature gets a place, and what can be said at once.
static void collect(struct arena *a, struct dkim_header *h, const struct dkim_policy *policy,
                    size_t numbers[DKIM_MAX_SIGNATURES], struct dkim_verification *out)
{
    size_t cap = 0;

    for (size_t i = 0; i < h->n; i++) {
        const struct dkim_field *f = &h->fields[i];

        if (!str_eq_ci(f->name, STR("DKIM-Signature")))
            continue;
        if (out->n == DKIM_MAX_SIGNATURES) {
            out->n_more++;
            continue;
        }
        numbers[out->n] = i + 1;
        judge_field(a, policy, f->value, ARENA_PUSH(a, out->results, &out->n, &cap));
    }
}

void dkim_verify_begin(struct arena *a, struct dkim_header *header,
                       const struct dkim_policy *policy, const struct dns *dns,
                       struct dkim_bodies *bodies, struct dkim_verification *out)
{
    size_t numbers[DKIM_MAX_SIGNATURES];

    *out = (struct dkim_verification){0};
    collect(a, header, policy, numbers, out);
    out->hashes = ARENA_ARRAY(a, out->n + 1, const struct dkim_body_hash *);
    for (size_t i = 0; i < out->n; i++)
        if (out->results[i].status == AUTH_NONE)
            dkim_key_prefetch(dns, a, &out->results[i].signature);
    for (size_t i = 0; i < out->n; i++)
        if (out->results[i].status == AUTH_NONE)
            judge_header(a, header, numbers[i], dns, bodies, &out->results[i], &out->hashes[i]);
}

static void judge_body(struct dkim_result *r, const struct dkim_body_hash *hash)
{
    const struct dkim_signature *s = &r->signature;

    if (!hash->is_done)
        decide(r, AUTH_PERMERROR, STR("l= is more than the body has"));
    else if (!str_eq(s->body_hash, str_at(hash->digest, sizeof hash->digest)))
        decide(r, AUTH_FAIL, STR("the hash of the body does not fit"));
    else if (s->has_length && hash->total > s->length)
        // RFC 6376 8.2: anyone may have put the rest there.
        decide(r, AUTH_POLICY, STR("part of the body is not signed (l=)"));
    else if (!dkim_signs(s, STR("Subject")))
        decide(r, AUTH_POLICY, STR("Subject is not signed"));
    else
        decide(r, AUTH_PASS, STR(""));
}

void dkim_verify_end(struct dkim_verification *v)
{
    for (size_t i = 0; i < v->n; i++) {
        struct dkim_result *r = &v->results[i];

        if (v->hashes[i])
            judge_body(r, v->hashes[i]);
        // RFC 6376 3.6.1: a domain in test is treated as if it did not sign.
        if (r->has_record && r->record.is_testing && r->status != AUTH_PASS)
            r->status = AUTH_NONE;
    }
}
