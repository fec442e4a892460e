#include "proto/imap/structure.h"

#include "text/date.h"

void imap_string_put(struct buf *out, struct str s)
{
    bool can_quote = s.n <= 1000;

    for (size_t i = 0; i < s.n && can_quote; i++)
        can_quote = (unsigned char)s.p[i] < 128 && s.p[i] != '\r' && s.p[i] != '\n' && s.p[i];
    if (can_quote) {
        buf_put_char(out, '"');
        for (size_t i = 0; i < s.n; i++) {
            if (s.p[i] == '"' || s.p[i] == '\\')
                buf_put_char(out, '\\');
            buf_put_char(out, s.p[i]);
        }
        buf_put_char(out, '"');
        return;
    }
    buf_printf(out, "{%zu}\r\n", s.n);
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(out, s.p[i] ? s.p[i] : '?');
}

void imap_nstring_put(struct buf *out, struct str s)
{
    if (s.p)
        imap_string_put(out, s);
    else
        BUF_PUT(out, "NIL");
}

static void put_upper(struct buf *out, struct str s)
{
    AUTO_BUF upper = BUF_LIMIT(65536);

    for (size_t i = 0; i < s.n; i++)
        buf_put_char(&upper, ascii_upper(s.p[i]));
    imap_string_put(out, buf_str(&upper));
}

static void put_addresses(struct buf *out, struct arena *a, struct str field)
{
    struct address_list l;

    address_parse_list(a, field, &l);
    if (!l.n) {
        BUF_PUT(out, "NIL");
        return;
    }
    buf_put_char(out, '(');
    for (size_t i = 0; i < l.n; i++) {
        buf_put_char(out, '(');
        imap_nstring_put(out, l.items[i].name.n ? l.items[i].name : (struct str){0});
        BUF_PUT(out, " NIL ");
        imap_string_put(out, l.items[i].localpart);
        buf_put_char(out, ' ');
        imap_string_put(out, l.items[i].domain);
        buf_put_char(out, ')');
    }
    buf_put_char(out, ')');
}

void imap_envelope_put(struct buf *out, struct arena *a, const struct envelope *env)
{
    const struct str addresses[] = {env->from,
                                    env->sender.n ? env->sender : env->from,
                                    env->reply_to.n ? env->reply_to : env->from,
                                    env->to, env->cc, env->bcc};

    buf_put_char(out, '(');
    imap_nstring_put(out, env->date);
    buf_put_char(out, ' ');
    imap_nstring_put(out, env->subject);
    for (size_t i = 0; i < COUNT(addresses); i++) {
        buf_put_char(out, ' ');
        put_addresses(out, a, addresses[i]);
    }
    buf_put_char(out, ' ');
    imap_nstring_put(out, env->in_reply_to);
    buf_put_char(out, ' ');
    imap_nstring_put(out, env->message_id);
    buf_put_char(out, ')');
}

static void put_params(struct buf *out, const struct params *p)
{
    if (!p->n) {
        BUF_PUT(out, "NIL");
        return;
    }
    buf_put_char(out, '(');
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            buf_put_char(out, ' ');
        put_upper(out, p->items[i].name);
        buf_put_char(out, ' ');
        imap_string_put(out, p->items[i].value);
    }
    buf_put_char(out, ')');
}

// body-fld-dsp, body-fld-lang, body-fld-loc
static void put_extension_tail(struct buf *out, const struct part *p)
{
    buf_put_char(out, ' ');
    if (p->disposition.n) {
        buf_put_char(out, '(');
        put_upper(out, p->disposition);
        buf_put_char(out, ' ');
        put_params(out, &p->disposition_params);
        buf_put_char(out, ')');
    } else {
        BUF_PUT(out, "NIL");
    }
    buf_put_char(out, ' ');
    imap_nstring_put(out, p->language.n ? p->language : (struct str){0});
    buf_put_char(out, ' ');
    imap_nstring_put(out, p->location.n ? p->location : (struct str){0});
}

static void put_multipart(struct buf *out, struct arena *a, const struct part *p, bool extended)
{
    buf_put_char(out, '(');
    for (const struct part *child = p->child; child; child = child->next)
        imap_bodystructure_put(out, a, child, extended);
    if (!p->child) // the grammar wants one part at least
        BUF_PUT(out, "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
    buf_put_char(out, ' ');
    put_upper(out, p->subtype);
    if (extended) {
        buf_put_char(out, ' ');
        put_params(out, &p->params);
        put_extension_tail(out, p);
    }
    buf_put_char(out, ')');
}

void imap_bodystructure_put(struct buf *out, struct arena *a, const struct part *p, bool extended)
{
    if (p->is_multipart) {
        put_multipart(out, a, p, extended);
        return;
    }
    buf_put_char(out, '(');
    if (p->type.n) {
        put_upper(out, p->type);
        buf_put_char(out, ' ');
        put_upper(out, p->subtype);
        buf_put_char(out, ' ');
        put_params(out, &p->params);
    } else { // RFC 2045 5.2
        BUF_PUT(out, "\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\")");
    }
    buf_put_char(out, ' ');
    imap_nstring_put(out, p->id.n ? p->id : (struct str){0});
    buf_put_char(out, ' ');
    imap_nstring_put(out, p->description.n ? p->description : (struct str){0});
    buf_put_char(out, ' ');
    put_upper(out, p->encoding.n ? p->encoding : STR("7bit"));
    buf_printf(out, " %llu", (unsigned long long)(p->body_end - p->body_start));
    if (p->is_message && p->child && p->child->envelope) {
        buf_put_char(out, ' ');
        imap_envelope_put(out, a, p->child->envelope);
        buf_put_char(out, ' ');
        imap_bodystructure_put(out, a, p->child, extended);
    }
    if (p->is_message || part_is_text(p))
        buf_printf(out, " %llu", (unsigned long long)p->lines);
    if (extended) {
        buf_put_char(out, ' ');
        imap_nstring_put(out, p->md5.n ? p->md5 : (struct str){0});
        put_extension_tail(out, p);
    }
    buf_put_char(out, ')');
}
