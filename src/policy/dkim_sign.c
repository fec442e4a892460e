/*
 * Making signatures (RFC 6376 5), and writing fields that are lists of tags.
 */
#include <string.h>

#include "message/header.h"
#include "policy/dkim_priv.h"
#include "text/encode.h"

enum { WIDTH = 76 };

/* Upstream's. */
const struct str dkim_default_headers[] = {
    STR_("From"),     STR_("To"),         STR_("Cc"),           STR_("Bcc"),
    STR_("Reply-To"), STR_("References"), STR_("In-Reply-To"),  STR_("Subject"),
    STR_("Date"),     STR_("Message-Id"), STR_("Content-Type"),
};
const size_t dkim_n_default_headers = COUNT(dkim_default_headers);

/* --- writing a list of tags ------------------------------------------------------------------- */

static void new_line(struct tag_writer *w)
{
    BUF_PUT(w->out, "\r\n\t");
    w->column = 8;
}

static void put_text(struct tag_writer *w, struct str text)
{
    buf_put(w->out, text);
    w->column += text.n;
}

void tag_writer_begin(struct tag_writer *w, struct buf *out, const char *field)
{
    *w = (struct tag_writer){.out = out, .start = out->n, .is_first = true};
    put_text(w, str_of(field));
    put_text(w, STR(":"));
}

// The end of the tag before, and a blank or a new line before n columns more.
static void separate(struct tag_writer *w, size_t n)
{
    if (!w->is_first)
        put_text(w, STR(";"));
    w->is_first = false;
    if (w->folds_next || w->column + 1 + n + 1 > WIDTH)
        new_line(w);
    else
        put_text(w, STR(" "));
    w->folds_next = false;
}

void tag_put(struct tag_writer *w, const char *name, struct str value)
{
    separate(w, strlen(name) + 1 + value.n);
    put_text(w, str_of(name));
    put_text(w, STR("="));
    put_text(w, value);
}

void tag_put_number(struct tag_writer *w, const char *name, uint64_t value)
{
    AUTO_BUF text = BUF_LIMIT(32);

    buf_put_u64(&text, value);
    tag_put(w, name, buf_str(&text));
}

void tag_put_names(struct tag_writer *w, const char *name, const struct str *parts, size_t n)
{
    tag_put(w, name, n ? parts[0] : STR(""));
    for (size_t i = 1; i < n; i++) {
        put_text(w, STR(":"));
        if (w->column + parts[i].n + 1 > WIDTH)
            new_line(w);
        put_text(w, parts[i]);
    }
}

void tag_put_b(struct tag_writer *w)
{
    tag_put(w, "b", STR(""));
    w->b_at = w->out->n;
    w->folds_next = true;
}

// The signature where b= is, in lines; what came after it goes on after that.
static void insert_b(struct tag_writer *w, struct str b)
{
    AUTO_BUF rest = BUF_LIMIT(TAG_LIST_MAX_BYTES);
    struct str tail = str_from(buf_str(w->out), w->b_at);
    size_t column;

    buf_put(&rest, tail);
    w->out->n = w->b_at;
    // How far the line is that b= stands in.
    column =
        w->b_at - w->start - (size_t)(str_find_last(str_from(buf_str(w->out), w->start), '\n') + 1);
    while (b.n) {
        size_t room = column < WIDTH ? WIDTH - column : 1, n = b.n < room ? b.n : room;

        buf_put(w->out, str_sub(b, 0, n));
        b = str_from(b, n);
        if (b.n)
            BUF_PUT(w->out, "\r\n\t");
        column = 8;
    }
    buf_put(w->out, buf_str(&rest));
}

bool tag_writer_sign(struct tag_writer *w, struct sha256 *hash, bool is_relaxed,
                     const struct dkim_signer *signer, struct err *e)
{
    AUTO_BUF signature = BUF_LIMIT(2048);
    AUTO_BUF b = BUF_LIMIT(4096);
    unsigned char digest[SHA256_BYTES];
    struct str raw = str_from(buf_str(w->out), w->start);

    dkim_hash_signature(hash, raw, str_at(raw.p + (w->b_at - w->start), 0), is_relaxed);
    sha256_end(hash, digest);
    if (!signer->sign(signer->ctx, str_at(digest, sizeof digest), &signature, e))
        return false;
    base64_encode(&b, buf_str(&signature));
    insert_b(w, buf_str(&b));
    BUF_PUT(w->out, "\r\n");
    return !w->out->full || fail(e, ERR_LIMIT, "a signature does not fit");
}

struct private_key *dkim_private_key(struct str pem, enum dkim_algorithm *algorithm, struct err *e)
{
    struct private_key *k = private_key_parse(pem, e);
    enum private_key_kind kind = k ? private_key_kind(k) : PRIVATE_KEY_OTHER;

    *algorithm = kind == PRIVATE_KEY_RSA ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
    if (!k)
        (void)fail(e, ERR_SYNTAX, "no private key in PEM");
    else if (kind == PRIVATE_KEY_OTHER)
        (void)fail(e, ERR_DENIED, "DKIM signs with RSA or ed25519");
    else if (kind == PRIVATE_KEY_RSA && private_key_bits(k) < PUBLIC_KEY_MIN_RSA_BITS)
        (void)fail(e, ERR_DENIED, "RSA keys have %d bits or more", PUBLIC_KEY_MIN_RSA_BITS);
    else
        return k;
    private_key_free(k);
    return NULL;
}

/* --- DKIM-Signature --------------------------------------------------------------------------- */

void dkim_sign_begin(const struct dkim_selector *selectors, size_t n, struct dkim_bodies *bodies)
{
    for (size_t i = 0; i < n; i++)
        (void)dkim_bodies_want(bodies, selectors[i].body_is_relaxed, DKIM_WHOLE_BODY);
}

static bool is_listed(const struct str *names, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_ci(names[i], name))
            return true;
    return false;
}

// Each name as often as there are such fields, and once more, so that none can be added.
static void names_to_sign(struct arena *a, struct dkim_header *h, const struct dkim_selector *s,
                          struct str **out, size_t *n)
{
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    for (size_t i = 0; i < s->n_headers; i++) {
        struct dkim_name *name = dkim_header_name(h, s->headers[i]);
        size_t times = (name ? name->count : 0) + !s->is_unsealed;

        if (is_listed(s->headers, i, s->headers[i]))
            continue;
        while (times-- && *n < DKIM_MAX_SIGNED_FIELDS)
            *ARENA_PUSH(a, *out, n, &cap) = s->headers[i];
    }
}

/* dkim-quoted-printable (RFC 6376 2.11). */
static void put_quoted(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c > 32 && c < 127 && c != ';' && c != '=')
            buf_put_char(out, (char)c);
        else
            buf_printf(out, "=%02X", c);
    }
}

static void put_tags(struct tag_writer *w, const struct dkim_selector *s, struct str localpart,
                     int64_t now, const struct str *names, size_t n,
                     const struct dkim_body_hash *body)
{
    AUTO_BUF identity = BUF_LIMIT(4096);
    AUTO_BUF hash = BUF_LIMIT(100);

    tag_put(w, "v", STR("1"));
    tag_put(w, "d", s->domain);
    tag_put(w, "s", s->name);
    if (localpart.n) {
        AUTO_BUF quoted = BUF_LIMIT(1024);

        address_put_localpart(&quoted, localpart);
        put_quoted(&identity, buf_str(&quoted));
        BUF_PUT(&identity, "@");
        buf_put(&identity, s->domain);
        tag_put(w, "i", buf_str(&identity));
    }
    tag_put(w, "a", str_of(dkim_algorithm_name(s->signer.algorithm)));
    if (s->header_is_relaxed || s->body_is_relaxed)
        tag_put(w, "c",
                !s->header_is_relaxed ? STR("simple/relaxed")
                : s->body_is_relaxed  ? STR("relaxed/relaxed")
                                      : STR("relaxed/simple"));
    tag_put_number(w, "t", (uint64_t)now);
    if (s->expires_after)
        tag_put_number(w, "x", (uint64_t)(now + s->expires_after));
    tag_put_names(w, "h", names, n);
    base64_encode(&hash, str_at(body->digest, sizeof body->digest));
    tag_put(w, "bh", buf_str(&hash));
    tag_put_b(w);
}

static bool sign_one(struct dkim_header *h, const struct dkim_selector *s, struct str localpart,
                     int64_t now, const struct dkim_body_hash *body, struct buf *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct sha256 *hash;
    struct tag_writer w;
    struct str *names;
    size_t n;
    bool ok;

    names_to_sign(&a, h, s, &names, &n);
    if (!is_listed(names, n, STR("From")))
        return fail(e, ERR_SYNTAX, "From is not among the fields to sign");
    tag_writer_begin(&w, out, "DKIM-Signature");
    put_tags(&w, s, localpart, now, names, n, body);
    hash = sha256_new();
    dkim_hash_fields(hash, h, names, n, 0, s->header_is_relaxed);
    ok = tag_writer_sign(&w, hash, s->header_is_relaxed, &s->signer, e);
    sha256_free(hash);
    return ok;
}

bool dkim_sign_end(struct dkim_header *header, const struct dkim_selector *selectors, size_t n,
                   struct str localpart, int64_t now_unix, struct dkim_bodies *bodies,
                   struct buf *out, struct err *e)
{
    const struct dkim_name *from = dkim_header_name(header, STR("From"));

    if (!from || from->count != 1)
        return fail(e, ERR_SYNTAX, "a message to sign has one From field, this one %zu",
                    from ? from->count : 0);
    for (size_t i = 0; i < n; i++) {
        const struct dkim_body_hash *body =
            dkim_bodies_get(bodies, selectors[i].body_is_relaxed, DKIM_WHOLE_BODY);

        if (!sign_one(header, &selectors[i], localpart, now_unix, body, out, e))
            return fail_in(e, "selector %.*s", STR_FMT(selectors[i].name));
    }
    return true;
}
