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

// NIL for an absent text.
static void nstring_put(struct buf *out, struct str s)
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

/*
 * RFC 9051 7.5.2: NIL as host marks a group, and NIL as mailbox too its end. So an address without a
 * domain has an empty one.
 */
static void put_address(struct buf *out, const struct address *one)
{
    bool is_mailbox = one->kind == ADDRESS_MAILBOX;
    // A word alone is somebody on the writer's own machine.
    bool is_word = is_mailbox && !one->localpart.n && !one->domain.n &&
                   str_find(one->name, ' ') == STR_NONE;

    buf_put_char(out, '(');
    nstring_put(out, is_mailbox && one->name.n && !is_word ? one->name : (struct str){0});
    BUF_PUT(out, " NIL ");
    if (one->kind == ADDRESS_GROUP_END)
        BUF_PUT(out, "NIL");
    else
        imap_string_put(out, is_mailbox && !is_word ? one->localpart : one->name);
    buf_put_char(out, ' ');
    if (is_mailbox)
        imap_string_put(out, one->domain);
    else
        BUF_PUT(out, "NIL");
    buf_put_char(out, ')');
}

// False when the field holds none.
static bool put_addresses(struct buf *out, struct str field)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20); // a message may hold thousands of envelopes
    struct address_list l;

    address_parse_groups(&a, field, &l);
    if (!l.n)
        return false;
    buf_put_char(out, '(');
    for (size_t i = 0; i < l.n; i++)
        put_address(out, &l.items[i]);
    buf_put_char(out, ')');
    return true;
}

void imap_envelope_put(struct buf *out, const struct envelope *env)
{
    const struct str addresses[] = {env->from, env->sender, env->reply_to,
                                    env->to,   env->cc,     env->bcc};

    buf_put_char(out, '(');
    nstring_put(out, env->date);
    buf_put_char(out, ' ');
    nstring_put(out, env->subject);
    for (size_t i = 0; i < COUNT(addresses); i++) {
        // Sender and Reply-To that are missing, or hold nobody, are who it is from.
        bool has_default = i == 1 || i == 2;

        buf_put_char(out, ' ');
        if (!put_addresses(out, addresses[i]) && !(has_default && put_addresses(out, env->from)))
            BUF_PUT(out, "NIL");
    }
    buf_put_char(out, ' ');
    nstring_put(out, env->in_reply_to);
    buf_put_char(out, ' ');
    nstring_put(out, env->message_id);
    buf_put_char(out, ')');
}

/*
 * RFC 2231 6 wants continuations joined and says nothing else of the extended form, which is the one
 * form in which a parameter is ASCII for clients without UTF-8.
 */
static void put_param(struct buf *out, const struct param *p)
{
    static const char hex[] = "0123456789ABCDEF";
    AUTO_BUF name = BUF_LIMIT(65536);
    AUTO_BUF value = BUF_LIMIT(1 << 20);
    bool is_plain = str_is_ascii(p->value);

    for (size_t i = 0; i < p->name.n; i++)
        buf_put_char(&name, ascii_upper(p->name.p[i]));
    if (!is_plain) {
        BUF_PUT(&name, "*");
        BUF_PUT(&value, "utf-8''");
    }
    for (size_t i = 0; i < p->value.n; i++) {
        unsigned char c = (unsigned char)p->value.p[i];

        if (is_plain || ascii_is_alnum((char)c) || c == '.' || c == '-' || c == '_') {
            buf_put_char(&value, (char)c);
        } else {
            buf_put_char(&value, '%');
            buf_put_char(&value, hex[c >> 4]);
            buf_put_char(&value, hex[c & 15]);
        }
    }
    imap_string_put(out, buf_str(&name));
    buf_put_char(out, ' ');
    imap_string_put(out, buf_str(&value));
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
        put_param(out, &p->items[i]);
    }
    buf_put_char(out, ')');
}

/* body-fld-lang: one language, or a list of them (RFC 3282). */
static void put_languages(struct buf *out, struct str text)
{
    bool is_list = str_find(text, ',') != STR_NONE, is_first = true;
    struct str one;

    if (is_list)
        buf_put_char(out, '(');
    while (str_next(&text, ',', &one)) {
        one = str_trim(one);
        if (!one.n)
            continue;
        if (!is_first)
            buf_put_char(out, ' ');
        imap_string_put(out, one);
        is_first = false;
    }
    if (is_first)
        BUF_PUT(out, "NIL");
    if (is_list)
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
    put_languages(out, p->language);
    buf_put_char(out, ' ');
    nstring_put(out, p->location.n ? p->location : (struct str){0});
}

static void put_multipart(struct buf *out, const struct part *p, bool extended)
{
    buf_put_char(out, '(');
    for (const struct part *child = p->child; child; child = child->next)
        imap_bodystructure_put(out, child, extended);
    if (!p->child) // the grammar wants one part at least
        buf_put(out, extended ? STR("(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL)")
                              : STR("(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)"));
    buf_put_char(out, ' ');
    put_upper(out, p->subtype);
    if (extended) {
        buf_put_char(out, ' ');
        put_params(out, &p->params);
        put_extension_tail(out, p);
    }
    buf_put_char(out, ')');
}

static void put_type(struct buf *out, const struct part *p)
{
    // A multipart or message that was not taken apart, because it is encoded or too deep, is no such
    // thing for a client: what those types must be followed by is not there.
    bool is_opaque = !p->is_multipart && !p->is_message &&
                     (str_eq(p->type, STR("multipart")) ||
                      (str_eq(p->type, STR("message")) && (str_eq(p->subtype, STR("rfc822")) ||
                                                           str_eq(p->subtype, STR("global")))));

    if (is_opaque) {
        BUF_PUT(out, "\"APPLICATION\" \"OCTET-STREAM\" ");
        put_params(out, &p->params);
    } else if (p->type.n) {
        put_upper(out, p->type);
        buf_put_char(out, ' ');
        put_upper(out, p->subtype);
        buf_put_char(out, ' ');
        put_params(out, &p->params);
    } else { // RFC 2045 5.2
        BUF_PUT(out, "\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\")");
    }
}

void imap_bodystructure_put(struct buf *out, const struct part *p, bool extended)
{
    if (p->is_multipart) {
        put_multipart(out, p, extended);
        return;
    }
    buf_put_char(out, '(');
    put_type(out, p);
    buf_put_char(out, ' ');
    nstring_put(out, p->id.n ? p->id : (struct str){0});
    buf_put_char(out, ' ');
    nstring_put(out, p->description.n ? p->description : (struct str){0});
    buf_put_char(out, ' ');
    put_upper(out, p->encoding.n ? p->encoding : STR("7bit"));
    buf_printf(out, " %llu", (unsigned long long)(p->body_end - p->body_start));
    if (p->is_message) {
        buf_put_char(out, ' ');
        imap_envelope_put(out, p->child->envelope);
        buf_put_char(out, ' ');
        imap_bodystructure_put(out, p->child, extended);
    }
    if (p->is_message || part_is_text(p))
        buf_printf(out, " %llu", (unsigned long long)p->lines);
    if (extended) {
        buf_put_char(out, ' ');
        nstring_put(out, p->md5.n ? p->md5 : (struct str){0});
        put_extension_tail(out, p);
    }
    buf_put_char(out, ')');
}
