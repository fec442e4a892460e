#include "policy/arc.h"

#include "base/cur.h"
#include "message/header.h"
#include "policy/dkim_priv.h"
#include "text/encode.h"

enum { RESULTS, MESSAGE, SEAL, N_KINDS };
static const struct str field_names[N_KINDS] = {STR_("ARC-Authentication-Results"),
                                                STR_("ARC-Message-Signature"), STR_("ARC-Seal")};

static void decide(struct arc_chain *c, enum auth_result status, struct str why)
{
    c->status = status;
    c->why = why;
}

/* instance: 1 to 50, no leading zero. */
static bool parse_instance(struct str text, unsigned *out)
{
    uint64_t v;

    if (!text.n || text.p[0] == '0' || !str_u64(text, ARC_MAX_SETS, &v))
        return false;
    *out = (unsigned)v;
    return true;
}

/* arc-info, as far as its instance: [CFWS] "i" [CFWS] "=" [CFWS] instance [CFWS] ";". */
static bool parse_results(struct str value, unsigned *instance, struct str *rest)
{
    struct cur c = cur_of(value);
    struct str digits;

    header_skip_cfws(&c);
    if (!cur_skip_str_ci(&c, STR("i")))
        return false;
    header_skip_cfws(&c);
    if (!cur_skip(&c, '='))
        return false;
    header_skip_cfws(&c);
    digits = header_token(&c);
    header_skip_cfws(&c);
    if (!parse_instance(digits, instance) || !cur_skip(&c, ';'))
        return false;
    *rest = cur_rest(&c);
    return true;
}

static bool parse_cv(struct str text, enum auth_result *out)
{
    for (unsigned i = AUTH_NONE; i <= AUTH_FAIL; i++)
        if (str_eq_ci(text, str_of(auth_result_name((enum auth_result)i)))) {
            *out = (enum auth_result)i;
            return true;
        }
    return false;
}

/* RFC 8617 4.1.3. */
static bool parse_seal(struct arena *a, const struct tag_list *tags, struct arc_set *out,
                       struct err *e)
{
    if (!parse_cv(tag_value(tags, "cv"), &out->cv))
        return fail(e, ERR_SYNTAX, "cv= is neither none, pass nor fail");
    if (tag_find(tags, "h"))
        return fail(e, ERR_SYNTAX, "a seal with h=");
    out->seal.header_is_relaxed = true;
    return dkim_parse_common(a, tags, &out->seal, e) &&
           dkim_parse_time(tags, "t", &out->seal.signed_at, e);
}

/* RFC 8617 4.1.2. */
static bool parse_message(struct arena *a, const struct tag_list *tags, struct arc_set *out,
                          struct err *e)
{
    // Who leaves c= out means relaxed: other implementations and their suite agree, although RFC
    // 8617 4.1.2 takes DKIM's default over.
    out->message.header_is_relaxed = out->message.body_is_relaxed = true;
    if (!dkim_parse_common(a, tags, &out->message, e) ||
        !dkim_parse_message_tags(a, tags, true, &out->message, e))
        return false;
    return !dkim_signs(&out->message, field_names[SEAL]) ||
           fail(e, ERR_SYNTAX, "a seal is signed by an ARC-Message-Signature");
}

// One field into its set. False when it is malformed.
static bool add_field(struct arena *a, struct arc_chain *c, int kind, size_t number,
                      struct str value, struct err *e)
{
    struct tag_list tags;
    struct arc_set parsed = {0};
    unsigned instance;
    struct err why = {0};
    bool is_good = true;

    if (kind == RESULTS) {
        if (!parse_results(value, &instance, &parsed.results))
            return fail(e, ERR_SYNTAX, "ARC-Authentication-Results does not begin with i=");
    } else if (!tag_list_parse(value, &tags, e))
        return false;
    else if (!parse_instance(tag_value(&tags, "i"), &instance))
        return fail(e, ERR_SYNTAX, "i= is not 1 to %d", ARC_MAX_SETS);
    else
        is_good = kind == SEAL ? parse_seal(a, &tags, &parsed, &why)
                               : parse_message(a, &tags, &parsed, &why);
    if (instance > c->n)
        c->n = instance;
    if (c->numbers[instance - 1][kind])
        return fail(e, ERR_SYNTAX, "%.*s i=%u is there twice", STR_FMT(field_names[kind]),
                    instance);
    c->numbers[instance - 1][kind] = number;
    if (kind == SEAL) {
        c->sets[instance - 1].cv = parsed.cv;
        c->sets[instance - 1].seal = parsed.seal;
    } else if (kind == MESSAGE)
        c->sets[instance - 1].message = parsed.message;
    else
        c->sets[instance - 1].results = parsed.results;
    return is_good || fail(e, ERR_SYNTAX, "i=%u: %s", instance, why.text);
}

static int kind_of(struct str name)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        if (str_eq_ci(name, field_names[kind]))
            return kind;
    return -1;
}

/* RFC 8617 5.2, steps 1 to 3: the sets are whole, and say the right things of each other. */
static bool collect(struct arena *a, const struct dkim_header *h, struct arc_chain *c,
                    struct err *e)
{
    bool is_good = true;

    c->sets = ARENA_ARRAY(a, ARC_MAX_SETS, struct arc_set);
    for (size_t i = 0; i < h->n; i++) {
        const struct dkim_field *f = &h->fields[i];
        int kind = kind_of(f->name);

        // With the first that is wrong the chain has failed; the others only say how long it is.
        if (kind >= 0 && !add_field(a, c, kind, i + 1, f->value, is_good ? e : NULL))
            is_good = false;
    }
    c->is_ended = c->n && c->numbers[c->n - 1][SEAL] && c->sets[c->n - 1].cv == AUTH_FAIL;
    if (!is_good)
        return false;
    for (size_t i = 0; i < c->n; i++) {
        for (int kind = 0; kind < N_KINDS; kind++)
            if (!c->numbers[i][kind])
                return fail(e, ERR_SYNTAX, "no %.*s i=%zu", STR_FMT(field_names[kind]), i + 1);
        if (c->sets[i].cv != (i ? AUTH_PASS : AUTH_NONE))
            return fail(e, ERR_SYNTAX, "the seal i=%zu says %s", i + 1,
                        auth_result_name(c->sets[i].cv));
    }
    return true;
}

static const struct dkim_field *field_of(const struct dkim_header *h, const struct arc_chain *c,
                                         size_t i, int kind)
{
    return &h->fields[c->numbers[i][kind] - 1];
}

static void put_field(struct sha256 *hash, const struct dkim_field *f)
{
    AUTO_BUF text = BUF_LIMIT(DKIM_MAX_HEADER_BYTES + 2);

    dkim_canon_field(&text, f->raw, true);
    sha256_put(hash, buf_str(&text));
}

// The end of a hash, of the fields signed so far and the field with the signature, verified.
static bool verify(struct arena *a, const struct dns *dns, struct sha256 *hash,
                   const struct dkim_field *f, const struct dkim_signature *s, const char *what,
                   size_t instance, struct arc_chain *c)
{
    unsigned char digest[SHA256_BYTES];
    struct dkim_key key;
    bool is_good;

    dkim_hash_signature(hash, f->raw, s->b_field, s->header_is_relaxed);
    sha256_end(hash, digest);
    dkim_key_get(dns, a, s, &key);
    is_good = key.key && public_key_verify(key.key, digest, s->signature);
    if (!key.key)
        decide(c, key.status == AUTH_TEMPERROR ? AUTH_TEMPERROR : AUTH_FAIL,
               arena_printf(a, "%s i=%zu: %.*s", what, instance, STR_FMT(key.why)));
    else if (!is_good)
        decide(c, AUTH_FAIL, arena_printf(a, "the %s i=%zu does not fit", what, instance));
    public_key_free(key.key);
    return is_good;
}

/* RFC 8617 5.2, step 4: the latest ARC-Message-Signature. */
static bool verify_message(struct arena *a, const struct dns *dns, struct dkim_header *h,
                           const struct dkim_policy *policy, struct arc_chain *c)
{
    const struct dkim_signature *s = &c->sets[c->n - 1].message;
    struct sha256 *hash;
    bool is_good;

    if (s->algorithm == DKIM_RSA_SHA1 || (s->expires_at >= 0 && s->expires_at < policy->now_unix)) {
        decide(c, AUTH_FAIL, STR("the latest signature is by rsa-sha1, or has expired"));
        return false;
    }
    hash = sha256_new();
    dkim_hash_fields(hash, h, s->headers, s->n_headers, c->numbers[c->n - 1][MESSAGE],
                     s->header_is_relaxed);
    is_good =
        verify(a, dns, hash, field_of(h, c, c->n - 1, MESSAGE), s, "message signature", c->n, c);
    sha256_free(hash);
    return is_good;
}

/*
 * Step 6: each seal signs all sets up to its own. One hash runs through them all, and a copy of it
 * takes each seal, so that a chain of 50 costs no more than it is long.
 */
static bool verify_seals(struct arena *a, const struct dns *dns, const struct dkim_header *h,
                         struct arc_chain *c)
{
    struct sha256 *hash = sha256_new();
    bool is_good = true;

    for (size_t i = 0; i < c->n && is_good; i++) {
        const struct dkim_field *seal = field_of(h, c, i, SEAL);
        struct sha256 *copy;

        put_field(hash, field_of(h, c, i, RESULTS));
        put_field(hash, field_of(h, c, i, MESSAGE));
        copy = sha256_copy(hash);
        is_good = c->sets[i].seal.algorithm != DKIM_RSA_SHA1 &&
                  verify(a, dns, copy, seal, &c->sets[i].seal, "seal", i + 1, c);
        if (!is_good && !c->why.n)
            decide(c, AUTH_FAIL, STR("a seal by rsa-sha1"));
        sha256_free(copy);
        put_field(hash, seal);
    }
    sha256_free(hash);
    return is_good;
}

void arc_verify_begin(struct arena *a, struct dkim_header *header, const struct dkim_policy *policy,
                      const struct dns *dns, struct dkim_bodies *bodies, struct arc_chain *out)
{
    const struct dkim_signature *s;
    struct err e = {0};

    *out = (struct arc_chain){0};
    if (!collect(a, header, out, &e)) {
        decide(out, AUTH_FAIL, arena_dup(a, str_of(e.text)));
        return;
    }
    if (!out->n)
        return;
    s = &out->sets[out->n - 1].message;
    dkim_key_prefetch(dns, a, s);
    for (size_t i = 0; i < out->n; i++)
        dkim_key_prefetch(dns, a, &out->sets[i].seal);
    if (verify_message(a, dns, header, policy, out) && verify_seals(a, dns, header, out))
        out->hash = dkim_bodies_want(bodies, s->body_is_relaxed,
                                     s->has_length ? s->length : DKIM_WHOLE_BODY);
}

void arc_verify_end(struct arc_chain *c)
{
    const struct dkim_body_hash *hash = c->hash;

    if (!hash)
        return;
    if (!hash->is_done ||
        !str_eq(c->sets[c->n - 1].message.body_hash, str_at(hash->digest, sizeof hash->digest)))
        decide(c, AUTH_FAIL, STR("the hash of the body does not fit"));
    else if (hash->length != DKIM_WHOLE_BODY && hash->total > hash->length)
        decide(c, AUTH_FAIL, STR("part of the body is not signed (l=)"));
    else
        c->status = AUTH_PASS;
}

/* --- sealing ---------------------------------------------------------------------------------- */

void arc_seal_begin(struct dkim_bodies *bodies)
{
    (void)dkim_bodies_want(bodies, true, DKIM_WHOLE_BODY);
}

// Each name as often as there are such fields.
static size_t names_to_sign(struct arena *a, struct dkim_header *h, const struct arc_sealer *s,
                            struct str **out)
{
    size_t n = 0, cap = 0;

    *out = NULL;
    for (size_t i = 0; i < s->n_headers; i++) {
        const struct dkim_name *name = dkim_header_name(h, s->headers[i]);

        for (size_t k = 0; name && k < name->count && n < DKIM_MAX_SIGNED_FIELDS; k++)
            *ARENA_PUSH(a, *out, &n, &cap) = s->headers[i];
    }
    return n;
}

// Tags in the order of their names, which makes the same signature of the same message everywhere.
static bool sign_message(struct arena *a, struct dkim_header *h, const struct arc_sealer *s,
                         unsigned instance, int64_t now, const struct dkim_body_hash *body,
                         struct buf *out, struct err *e)
{
    AUTO_BUF bh = BUF_LIMIT(100);
    struct sha256 *hash = sha256_new();
    struct tag_writer w;
    struct str *names;
    size_t n = names_to_sign(a, h, s, &names);
    bool ok;

    base64_encode(&bh, str_at(body->digest, sizeof body->digest));
    tag_writer_begin(&w, out, "ARC-Message-Signature");
    tag_put(&w, "a", str_of(dkim_algorithm_name(s->signer.algorithm)));
    tag_put_b(&w);
    tag_put(&w, "bh", buf_str(&bh));
    tag_put(&w, "c", STR("relaxed/relaxed"));
    tag_put(&w, "d", s->domain);
    tag_put_names(&w, "h", names, n);
    tag_put_number(&w, "i", instance);
    tag_put(&w, "s", s->selector);
    tag_put_number(&w, "t", (uint64_t)now);
    dkim_hash_fields(hash, h, names, n, 0, true);
    ok = tag_writer_sign(&w, hash, true, &s->signer, e);
    sha256_free(hash);
    return ok;
}

// The sets before, unless the chain has failed (RFC 8617 5.1.2), and the new one.
static void hash_sets(struct sha256 *hash, const struct dkim_header *h, const struct arc_chain *c,
                      struct str results, struct str message)
{
    for (size_t i = 0; c->status != AUTH_FAIL && i < c->n; i++)
        for (int kind = 0; kind < N_KINDS; kind++)
            put_field(hash, field_of(h, c, i, kind));
    put_field(hash, &(struct dkim_field){.raw = results});
    put_field(hash, &(struct dkim_field){.raw = message});
}

static bool sign_seal(struct dkim_header *h, const struct arc_chain *c, const struct arc_sealer *s,
                      int64_t now, struct str results, struct str message, struct buf *out,
                      struct err *e)
{
    struct sha256 *hash = sha256_new();
    struct tag_writer w;
    bool ok;

    tag_writer_begin(&w, out, "ARC-Seal");
    tag_put(&w, "a", str_of(dkim_algorithm_name(s->signer.algorithm)));
    tag_put_b(&w);
    tag_put(&w, "cv", str_of(auth_result_name(c->status)));
    tag_put(&w, "d", s->domain);
    tag_put_number(&w, "i", c->n + 1);
    tag_put(&w, "s", s->selector);
    tag_put_number(&w, "t", (uint64_t)now);
    hash_sets(hash, h, c, results, message);
    ok = tag_writer_sign(&w, hash, true, &s->signer, e);
    sha256_free(hash);
    return ok;
}

bool arc_seal_end(struct dkim_header *header, const struct arc_chain *chain,
                  const struct arc_sealer *sealer, struct str results, int64_t now_unix,
                  struct dkim_bodies *bodies, struct buf *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF value = BUF_LIMIT(TAG_LIST_MAX_BYTES);
    AUTO_BUF results_field = BUF_LIMIT(2 * TAG_LIST_MAX_BYTES);
    AUTO_BUF message = BUF_LIMIT(2 * TAG_LIST_MAX_BYTES);

    if (chain->is_ended || chain->n == ARC_MAX_SETS)
        return fail(e, ERR_DENIED, "a chain that has failed or has %d sets is not made longer",
                    ARC_MAX_SETS);
    if (chain->status == AUTH_TEMPERROR)
        return fail(e, ERR_TEMPORARY, "not known whether the chain holds: %.*s",
                    STR_FMT(chain->why));
    buf_printf(&value, "i=%zu; ", chain->n + 1);
    buf_put(&value, results);
    if (!header_put(&results_field, field_names[RESULTS], buf_str(&value), e) ||
        !sign_message(&a, header, sealer, (unsigned)chain->n + 1, now_unix,
                      dkim_bodies_get(bodies, true, DKIM_WHOLE_BODY), &message, e) ||
        !sign_seal(header, chain, sealer, now_unix, buf_str(&results_field), buf_str(&message), out,
                   e))
        return false;
    buf_put(out, buf_str(&message));
    buf_put(out, buf_str(&results_field));
    return !out->full || fail(e, ERR_LIMIT, "an ARC set does not fit");
}
