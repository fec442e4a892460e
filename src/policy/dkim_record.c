/*
 * DKIM's texts: signatures (RFC 6376 3.5), key records (3.6.1), and asking for one.
 */
#include "base/cur.h"
#include "policy/dkim_priv.h"
#include "text/encode.h"
#include "text/idna.h"

enum { MAX_TIME = 999999999, LOOKUP_MEMORY = 8 << 20 };

static const char *const algorithms[] = {"rsa-sha256", "ed25519-sha256", "rsa-sha1"};

const char *dkim_algorithm_name(enum dkim_algorithm algorithm)
{
    return algorithm < COUNT(algorithms) ? algorithms[algorithm] : "";
}

static bool parse_algorithm(struct str text, enum dkim_algorithm *out)
{
    for (size_t i = 0; i < COUNT(algorithms); i++)
        if (str_eq_ci(text, str_of(algorithms[i]))) {
            *out = (enum dkim_algorithm)i;
            return true;
        }
    return false;
}

/* selector: sub-domains. Underscores are in use, and harmless in a question. */
static bool parse_selector(struct arena *a, struct str text, struct str *out, struct err *e)
{
    *out = arena_lower(a, text);
    for (size_t i = 0; i < text.n && str_is_ascii(text); i++)
        if (!ascii_is_alnum(text.p[i]) && str_find(STR("-_."), text.p[i]) == STR_NONE)
            return fail(e, ERR_SYNTAX, "s= is no selector");
    if (!str_is_ascii(text) && !domain_to_ascii(a, text, out, e))
        return fail(e, ERR_SYNTAX, "s= is no selector");
    return dns_name_is_ok(*out) || fail(e, ERR_SYNTAX, "s= is no selector");
}

/* dkim-quoted-printable (RFC 6376 2.11): =XX, upper case; white space is left out. */
static struct str decode_quoted(struct arena *a, struct str text)
{
    char *p = arena_alloc(a, text.n + 1);
    size_t n = 0;

    text = tag_without_space(a, text);
    for (size_t i = 0; i < text.n; i++) {
        static const char digits[] = "0123456789ABCDEF";
        ptrdiff_t high = -1, low = -1;

        if (text.p[i] == '=' && i + 2 < text.n) {
            high = str_find(STR(digits), text.p[i + 1]);
            low = str_find(STR(digits), text.p[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            p[n++] = (char)(unsigned char)(high << 4 | low);
            i += 2;
        } else
            p[n++] = text.p[i];
    }
    return str_at(p, n);
}

bool dkim_parse_common(struct arena *a, const struct tag_list *tags, struct dkim_signature *out,
                       struct err *e)
{
    static const char *const required[] = {"a", "b", "d", "s"};
    struct str ascii;

    for (size_t i = 0; i < COUNT(required); i++)
        if (!tag_value(tags, required[i]).n)
            return fail(e, ERR_SYNTAX, "no %s=", required[i]);
    if (!parse_algorithm(tag_value(tags, "a"), &out->algorithm))
        return fail(e, ERR_SYNTAX, "unknown algorithm %.*s", STR_FMT(tag_value(tags, "a")));
    out->b = tag_without_space(a, tag_value(tags, "b"));
    out->b_field = tag_find(tags, "b")->field;
    if (!tag_base64(a, out->b, &out->signature))
        return fail(e, ERR_SYNTAX, "b= is not base64");
    if (!domain_to_ascii(a, tag_value(tags, "d"), &ascii, e) || !dns_name_is_ok(ascii))
        return fail(e, ERR_SYNTAX, "d= is no domain");
    out->domain = ascii;
    return parse_selector(a, tag_value(tags, "s"), &out->selector, e);
}

bool dkim_parse_time(const struct tag_list *tags, const char *name, int64_t *out, struct err *e)
{
    const struct tag *tag = tag_find(tags, name);
    uint64_t v;

    *out = -1;
    if (!tag)
        return true;
    // RFC 6376 3.5 wants 12 digits to be understood.
    if (!str_u64(tag->value, MAX_TIME * UINT64_C(1000) + 999, &v))
        return fail(e, ERR_SYNTAX, "%s= is no time", name);
    *out = (int64_t)v;
    return true;
}

/* sig-c-tag. */
static bool parse_canonicalization(const struct tag_list *tags, struct dkim_signature *out,
                                   struct err *e)
{
    const struct tag *c = tag_find(tags, "c");
    struct str header, body = STR("simple");

    if (!c)
        return true;
    if (!str_cut(c->value, '/', &header, &body))
        header = c->value;
    out->header_is_relaxed = str_eq_ci(header, STR("relaxed"));
    out->body_is_relaxed = str_eq_ci(body, STR("relaxed"));
    return ((out->header_is_relaxed || str_eq_ci(header, STR("simple"))) &&
            (out->body_is_relaxed || str_eq_ci(body, STR("simple")))) ||
           fail(e, ERR_SYNTAX, "unknown canonicalization %.*s", STR_FMT(c->value));
}

static bool is_field_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= 32 || name.p[i] == 127)
            return false;
    return true;
}

/* sig-h-tag. */
static bool parse_headers(struct arena *a, const struct tag_list *tags, bool allows_empty,
                          struct dkim_signature *out, struct err *e)
{
    const struct tag *h = tag_find(tags, "h");
    struct str *names = NULL, name, rest;
    size_t cap = 0;

    if (!h)
        return fail(e, ERR_SYNTAX, "no h=");
    rest = h->value;
    while (tag_part(&rest, &name)) {
        if (!is_field_name(name) || (!name.n && !allows_empty))
            return fail(e, ERR_SYNTAX, "h= is no list of names of fields");
        if (out->n_headers == DKIM_MAX_SIGNED_FIELDS)
            return fail(e, ERR_LIMIT, "more than %d names in h=", DKIM_MAX_SIGNED_FIELDS);
        if (name.n)
            *ARENA_PUSH(a, names, &out->n_headers, &cap) = name;
    }
    out->headers = names;
    return true;
}

bool dkim_parse_message_tags(struct arena *a, const struct tag_list *tags, bool allows_empty_names,
                             struct dkim_signature *out, struct err *e)
{
    const struct tag *l = tag_find(tags, "l"), *q = tag_find(tags, "q");

    if (!tag_base64(a, tag_value(tags, "bh"), &out->body_hash) ||
        out->body_hash.n != (out->algorithm == DKIM_RSA_SHA1 ? SHA1_BYTES : SHA256_BYTES))
        return fail(e, ERR_SYNTAX, "bh= is missing or no hash of that algorithm");
    if (!parse_canonicalization(tags, out, e) ||
        !parse_headers(a, tags, allows_empty_names, out, e) ||
        !dkim_parse_time(tags, "t", &out->signed_at, e) ||
        !dkim_parse_time(tags, "x", &out->expires_at, e))
        return false;
    if (out->signed_at >= 0 && out->expires_at >= 0 && out->expires_at <= out->signed_at)
        return fail(e, ERR_SYNTAX, "x= is not after t=");
    out->has_length = l;
    if (l && !str_u64(l->value, INT64_MAX, &out->length))
        return fail(e, ERR_SYNTAX, "l= is no number of octets");
    return !q || tag_has_part(q->value, STR("dns/txt")) ||
           fail(e, ERR_SYNTAX, "q= does not have dns/txt");
}

/* sig-i-tag: at the domain or below it. */
static bool parse_identity(struct arena *a, struct str text, struct dkim_signature *out,
                           struct err *e)
{
    ptrdiff_t at;
    struct str domain;

    out->identity = decode_quoted(a, text);
    at = str_find_last(out->identity, '@');
    if (at < 0 || !domain_to_ascii(a, str_from(out->identity, (size_t)at + 1), &domain, e))
        return fail(e, ERR_SYNTAX, "i= has no domain");
    if (str_eq(domain, out->domain) || (domain.n > out->domain.n && str_ends(domain, out->domain) &&
                                        domain.p[domain.n - out->domain.n - 1] == '.'))
        return true;
    return fail(e, ERR_SYNTAX, "the domain of i= is not d= or below it");
}

bool dkim_signs(const struct dkim_signature *s, struct str name)
{
    for (size_t i = 0; i < s->n_headers; i++)
        if (str_eq_ci(s->headers[i], name))
            return true;
    return false;
}

bool dkim_signature_parse(struct arena *a, struct str value, struct dkim_signature *out,
                          struct err *e)
{
    struct tag_list tags;
    const struct tag *i;

    *out = (struct dkim_signature){.signed_at = -1, .expires_at = -1};
    if (!tag_list_parse(value, &tags, e))
        return false;
    if (!str_eq(tag_value(&tags, "v"), STR("1")))
        return fail(e, ERR_SYNTAX, "v= is not 1");
    if (!dkim_parse_common(a, &tags, out, e) || !dkim_parse_message_tags(a, &tags, false, out, e))
        return false;
    i = tag_find(&tags, "i");
    if (i && !parse_identity(a, i->value, out, e))
        return false;
    // RFC 6376 5.4: From must be signed.
    return dkim_signs(out, STR("From")) || fail(e, ERR_SYNTAX, "From is not signed");
}

/* --- key records ------------------------------------------------------------------------------ */

static void parse_flags(struct str value, struct dkim_record *out)
{
    out->is_testing = tag_has_part(value, STR("y"));
    out->is_strict = tag_has_part(value, STR("s"));
}

bool dkim_record_parse(struct arena *a, struct str text, struct dkim_record *out, bool *is_dkim,
                       struct err *e)
{
    const struct tag *v, *h, *k, *p, *s;
    struct tag_list tags;

    *out = (struct dkim_record){.text = text};
    *is_dkim = str_starts(text, STR("v=DKIM1"));
    if (text.n > DKIM_MAX_RECORD)
        return fail(e, ERR_LIMIT, "a record of %zu bytes", text.n);
    if (!tag_list_parse(text, &tags, e))
        return false;
    v = tag_find(&tags, "v");
    h = tag_find(&tags, "h");
    k = tag_find(&tags, "k");
    p = tag_find(&tags, "p");
    s = tag_find(&tags, "s");
    // RFC 6376 3.6.1: v= must be the first tag, and another version is nothing of ours.
    *is_dkim = v ? str_eq(v->value, STR("DKIM1")) : p != NULL;
    if (v && (v != &tags.tags[0] || !*is_dkim))
        return fail(e, ERR_SYNTAX, "v= is not the first tag, or not DKIM1");
    if (!p)
        return fail(e, ERR_SYNTAX, "no p=");
    if (p->value.n && !tag_base64(a, p->value, &out->public_key))
        return fail(e, ERR_SYNTAX, "p= is not base64");
    out->has_version = v;
    out->allows_sha256 = !h || tag_has_part(h->value, STR("sha256"));
    out->is_for_email =
        !s || tag_has_part(s->value, STR("email")) || tag_has_part(s->value, STR("*"));
    out->kind = !k || str_eq_ci(k->value, STR("rsa")) ? DKIM_KEY_RSA
                : str_eq_ci(k->value, STR("ed25519")) ? DKIM_KEY_ED25519
                                                      : DKIM_KEY_OTHER;
    out->notes = tag_value(&tags, "n");
    parse_flags(tag_value(&tags, "t"), out);
    return true;
}

void dkim_record_put(struct buf *out, const struct dkim_record *r)
{
    BUF_PUT(out, "v=DKIM1;h=sha256;");
    if (r->kind == DKIM_KEY_ED25519)
        BUF_PUT(out, "k=ed25519;");
    if (r->is_testing || r->is_strict)
        buf_printf(out, "t=%s;", !r->is_strict ? "y" : r->is_testing ? "y:s" : "s");
    BUF_PUT(out, "p=");
    base64_encode(out, r->public_key);
}

static struct str key_name(struct arena *a, struct str selector, struct str domain)
{
    return arena_printf(a, "%.*s._domainkey.%.*s", STR_FMT(selector), STR_FMT(domain));
}

static void no_key(struct dkim_lookup *out, enum auth_result status, struct str why)
{
    out->status = status;
    out->why = why;
}

// The one key among an answer's records; counts those that are keys, well-formed or not.
static void pick_record(struct arena *a, const struct dns_answer *answer, struct dkim_lookup *out)
{
    AUTO_ARENA scratch = ARENA_LIMIT(LOOKUP_MEMORY);
    struct err e = {0};
    size_t n_dkim = 0, n_good = 0;
    bool is_dkim;

    for (size_t i = 0; i < answer->n && n_good < 2; i++) {
        struct str text = answer->records[i].data;

        arena_reset(&scratch);
        if (dkim_record_parse(&scratch, text, &out->record, &is_dkim, &e)) {
            out->record.text = text;
            n_good++;
        }
        n_dkim += is_dkim;
    }
    // RFC 6376 3.6.2.2 leaves open what several records are; they may be a change under way.
    if (n_good > 1)
        no_key(out, AUTH_TEMPERROR, STR("several keys at one name"));
    else if (n_good && dkim_record_parse(a, arena_dup(a, out->record.text), &out->record, &is_dkim, &e))
        out->status = AUTH_PASS;
    else if (n_dkim)
        no_key(out, AUTH_PERMERROR, arena_printf(a, "malformed key record: %s", e.text));
    else
        no_key(out, AUTH_TEMPERROR, STR("TXT records, and none is a key"));
}

void dkim_lookup(const struct dns *dns, struct arena *a, struct str selector, struct str domain,
                 struct dkim_lookup *out)
{
    // Whoever signs chooses how long the answers are: they are not kept, but for the key.
    AUTO_ARENA scratch = ARENA_LIMIT(LOOKUP_MEMORY);
    struct str name = key_name(a, selector, domain);
    struct dns_answer answer;

    *out = (struct dkim_lookup){0};
    dns_lookup(dns, &scratch, name, DNS_TXT, &answer);
    out->is_secure = answer.is_secure;
    if (dns_is_none(&answer))
        no_key(out, AUTH_PERMERROR, arena_printf(a, "no key at %.*s", STR_FMT(name)));
    else if (answer.status != DNS_OK)
        no_key(out, AUTH_TEMPERROR,
               arena_printf(a, "looking up the key: %.*s", STR_FMT(answer.why)));
    else
        pick_record(a, &answer, out);
    if (out->status != AUTH_PASS)
        out->record = (struct dkim_record){0};
}

void dkim_key_prefetch(const struct dns *dns, struct arena *a, const struct dkim_signature *s)
{
    dns_prefetch(dns, key_name(a, s->selector, s->domain), DNS_TXT);
}

static void refuse_key(struct dkim_key *out, const char *why)
{
    out->status = AUTH_PERMERROR;
    out->why = str_of(why);
}

void dkim_key_get(const struct dns *dns, struct arena *a, const struct dkim_signature *s,
                  struct dkim_key *out)
{
    const struct dkim_record *r = &out->lookup.record;
    bool is_ed25519 = s->algorithm == DKIM_ED25519_SHA256;
    struct err e = {0};

    *out = (struct dkim_key){0};
    dkim_lookup(dns, a, s->selector, s->domain, &out->lookup);
    out->status = out->lookup.status;
    out->why = out->lookup.why;
    if (out->status != AUTH_PASS)
        return;
    if (!r->public_key.n)
        refuse_key(out, "the key is revoked");
    else if (!r->allows_sha256)
        refuse_key(out, "the key is not for sha256");
    else if (!r->is_for_email)
        refuse_key(out, "the key is not for email");
    else if (r->kind != (is_ed25519 ? DKIM_KEY_ED25519 : DKIM_KEY_RSA))
        refuse_key(out, "the key is not for the algorithm of the signature");
    else {
        out->key =
            is_ed25519 ? public_key_ed25519(r->public_key, &e) : public_key_rsa(r->public_key, &e);
        if (!out->key) {
            out->status = AUTH_PERMERROR;
            out->why = arena_dup(a, str_of(e.text));
        }
    }
}
