/*
 * gzip of replies (mox-web-http-api.md 5.7): for clients that take it, and types that become smaller by it.
 */
#include <string.h>

#include "role/web/web.h"
#include "text/deflate.h"
#include "web/encoding.h"

enum { LEAST = 1024, MOST_OF_FILES = 10 << 20 };

/* Another source, compressed. What it has said can be read by the client before it is waited for again. */
struct squeeze {
    struct web_source from;
    struct deflater *deflater;
    struct buf out;
    bool is_unflushed, is_end;
    char piece[WEB_BUFFER];
};

static enum web_got give(struct squeeze *s, char *p, size_t n, size_t *got)
{
    *got = n < s->out.n ? n : s->out.n;
    memcpy(p, s->out.p, *got);
    buf_drop(&s->out, *got);
    return WEB_GOT;
}

static enum web_got read_squeezed(void *ctx, char *p, size_t n, size_t *got, struct err *e)
{
    struct squeeze *s = ctx;

    *got = 0;
    while (!s->out.n && !s->is_end) {
        size_t raw = 0;
        enum web_got r = s->from.read(s->from.ctx, s->piece, sizeof s->piece, &raw, e);

        if (r == WEB_FAILED || (r == WEB_WAIT && !s->is_unflushed))
            return r;
        if (r == WEB_WAIT)
            deflater_put(s->deflater, STR(""), &s->out);
        else
            deflater_put_more(s->deflater, str_at(s->piece, raw), &s->out);
        s->is_unflushed = r != WEB_WAIT;
        if (r == WEB_END) {
            deflater_end(s->deflater, &s->out);
            s->is_end = true;
        }
        if (s->out.full) {
            (void)fail(e, ERR_BUG, "compressing makes it too large");
            return WEB_FAILED;
        }
    }
    return s->out.n ? give(s, p, n, got) : WEB_END;
}

static void close_squeezed(void *ctx)
{
    struct squeeze *s = ctx;

    if (s->from.close)
        s->from.close(s->from.ctx);
    deflater_free(s->deflater);
    buf_fini(&s->out);
}

static bool is_wanted(const struct web_exchange *x, const struct web_reply *r)
{
    bool is_small = r->file ? r->length < LEAST || r->length > MOST_OF_FILES : !r->source && r->body.n < LEAST;

    return !x->no_compression && r->status == 200 && !is_small && x->request->method != HTTP_HEAD &&
           !http_field_find(&r->fields, STR("Content-Encoding")) &&
           encoding_is_worth_it(http_field_get(&r->fields, STR("Content-Type"))) &&
           encoding_takes_gzip(http_field_get(&x->request->fields, STR("Accept-Encoding")));
}

// RFC 9110 8.8.3: what is made anew each time is the same only weakly.
static void weaken_etag(struct web_exchange *x, struct web_reply *r)
{
    for (size_t i = 0; i < r->fields.n; i++)
        if (str_eq_ci(r->fields.items[i].name, STR("ETag")) && !str_starts(r->fields.items[i].value, STR("W/")))
            r->fields.items[i].value = arena_printf(x->arena, "W/%.*s", STR_FMT(r->fields.items[i].value));
}

// RFC 9110 12.5.5: whoever keeps it must know, of what is not compressed too, that others get something else.
void compress_put_vary(struct web_exchange *x, struct web_reply *r, struct str type)
{
    if (!x->no_compression && encoding_is_worth_it(type) &&
        !http_field_has_token(&r->fields, STR("Vary"), STR("Accept-Encoding")))
        web_field(x, r, STR("Vary"), STR("Accept-Encoding"));
}

void compress_reply(struct web_exchange *x, struct web_reply *r)
{
    struct web_source *source;
    struct squeeze *s;

    if (r->status == 200)
        compress_put_vary(x, r, http_field_get(&r->fields, STR("Content-Type")));
    if (!is_wanted(x, r))
        return;
    web_field(x, r, STR("Content-Encoding"), STR("gzip"));
    weaken_etag(x, r);
    if (r->file)
        web_file_as_source(x, r);
    if (!r->source) { // at hand: its length can be said
        AUTO_BUF b = BUF_LIMIT(r->body.n + (64 << 10));
        struct deflater *d = deflater_new_gzip();

        deflater_put_more(d, r->body, &b);
        deflater_end(d, &b);
        deflater_free(d);
        r->body = arena_dup(x->arena, buf_str(&b));
        return;
    }
    s = ARENA_NEW(x->arena, struct squeeze);
    *s = (struct squeeze){.from = *r->source, .deflater = deflater_new_gzip(), .out = BUF_LIMIT(256 << 10)};
    source = ARENA_NEW(x->arena, struct web_source);
    *source = (struct web_source){s, r->source->fd, read_squeezed, close_squeezed};
    r->source = source;
    r->has_length = false;
}
