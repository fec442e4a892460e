/*
 * The tokens of a message: which parts and fields are looked at, and the set that they make.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "junk/junk_priv.h"
#include "text/encode.h"

struct str junk_settings_name(struct arena *a, const struct junk_settings *s)
{
    // The numbers grow with each change of what is a token: what was learnt before is then learnt anew.
    if (s->method == JUNK_EVIDENCE)
        return STR("evidence 2");
    return arena_printf(a, "words 1 %d%d%d", s->onegrams, s->twograms, s->threegrams);
}

bool junk_settings_of_name(struct str name, struct junk_settings *out)
{
    static const struct str words = STR_("words 1 ");

    *out = (struct junk_settings){.method = JUNK_EVIDENCE};
    if (str_eq(name, STR("evidence 2")))
        return true;
    if (!str_starts(name, words) || name.n != words.n + 3)
        return false;
    *out = (struct junk_settings){.method = JUNK_WORDS, .onegrams = name.p[words.n] == '1',
                                  .twograms = name.p[words.n + 1] == '1',
                                  .threegrams = name.p[words.n + 2] == '1'};
    return true;
}

bool junk_read_str(void *ctx, uint64_t offset, size_t n, struct buf *out, struct err *e)
{
    const struct str *s = ctx;

    (void)e;
    buf_put(out, offset < s->n ? str_sub(*s, (size_t)offset, n) : STR(""));
    return true;
}

bool junk_read_fd(void *ctx, uint64_t offset, size_t n, struct buf *out, struct err *e)
{
    while (n) {
        size_t step = n < 64 * 1024 ? n : 64 * 1024;
        char *room = buf_room(out, step);
        ssize_t got = room ? pread(*(const int *)ctx, room, step, (off_t)offset) : 0;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(e, "read message");
        if (!got)
            return true;
        buf_claim(out, (size_t)got);
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

enum { FEW_TOKENS = 200 }; // what most messages have

static void grow_table(struct tokeniser *t)
{
    size_t cap = t->table_cap ? t->table_cap * 4 : 1024;
    uint32_t *table = ARENA_ARRAY(t->a, cap, uint32_t);

    for (size_t i = 0; i < t->out->n; i++) {
        size_t at = t->out->items[i].hash & (cap - 1);

        while (table[at])
            at = (at + 1) & (cap - 1);
        table[at] = (uint32_t)i + 1;
    }
    t->table = table;
    t->table_cap = cap;
}

// A copy of the text of a token; many share a block.
static struct str keep_text(struct tokeniser *t, struct str text)
{
    char *p;

    if (text.n > t->room_left) {
        t->room_left = t->out->n < 100 ? 2048 : 16 * 1024;
        t->room = arena_alloc(t->a, t->room_left);
    }
    p = t->room;
    memcpy(p, text.p, text.n);
    t->room += text.n;
    t->room_left -= text.n;
    return str_at(p, text.n);
}

// Adds the token unless it is there or there are too many.
static void add(struct tokeniser *t, struct str text)
{
    uint64_t hash = str_hash_keyed(t->key.k0, t->key.k1, text) >> JUNK_HASH_SHIFT;
    size_t at;

    if (t->out->n * 2 >= t->table_cap)
        grow_table(t);
    for (at = hash & (t->table_cap - 1); t->table[at]; at = (at + 1) & (t->table_cap - 1))
        if (t->out->items[t->table[at] - 1].hash == hash)
            return;
    if (t->out->n == JUNK_MAX_TOKENS)
        return;
    *ARENA_PUSH(t->a, t->out->items, &t->out->n, &t->out->cap) =
        (struct junk_token){hash, keep_text(t, text), t->is_about};
    t->table[at] = (uint32_t)t->out->n;
}

void token_put(struct tokeniser *t, struct str prefix, struct str word)
{
    prefix = str_sub(prefix, 0, TOKEN_MAX_PREFIX);
    word = str_sub(word, 0, TOKEN_MAX_WORD);
    if (!word.n)
        return;
    if (!prefix.n) {
        add(t, word);
        return;
    }
    memcpy(t->bytes, prefix.p, prefix.n);
    memcpy(t->bytes + prefix.n, word.p, word.n);
    add(t, str_at(t->bytes, prefix.n + word.n));
}

// In lower case, and no more than the beginning of it.
static void put(struct tokeniser *t, struct str prefix, struct str word)
{
    char lower[2 * JUNK_MAX_WORD];

    word = str_sub(word, 0, sizeof lower);
    for (size_t i = 0; i < word.n; i++)
        lower[i] = ascii_lower(word.p[i]);
    token_put(t, prefix, str_at(lower, word.n));
}

/* --- the header ---------------------------------------------------------------------------------- */

static void put_after(struct tokeniser *t, struct str prefix, char first, struct str word)
{
    char bytes[2 * JUNK_MAX_WORD];

    word = str_sub(word, 0, sizeof bytes - 1);
    bytes[0] = first;
    if (word.n)
        memcpy(bytes + 1, word.p, word.n);
    put(t, prefix, str_at(bytes, 1 + word.n));
}

static void put_addresses(struct tokeniser *t, struct str prefix, struct str value)
{
    struct address_list list = {0};

    address_parse_list(t->a, value, &list);
    for (size_t i = 0; i < list.n && i < 50; i++) {
        const struct address *x = &list.items[i];

        words_put(t, prefix, encoded_word_decode(t->a, x->name));
        put(t, prefix, x->localpart);
        put_after(t, prefix, '@', x->domain);
    }
}

static void put_text(struct tokeniser *t, struct str prefix, struct str value)
{
    words_put(t, prefix, encoded_word_decode(t->a, value));
}

// What stands behind the last "@" of a message's id, or the last "+" or "-" of its date.
static void put_domain(struct tokeniser *t, struct str prefix, struct str value)
{
    ptrdiff_t at = str_find_last(value, '@');
    struct cur c = cur_of(at == STR_NONE ? (struct str){0} : str_from(value, (size_t)at + 1));

    put(t, prefix, at == STR_NONE ? STR("none") : header_token(&c));
}

static void put_zone(struct tokeniser *t, struct str prefix, struct str value)
{
    struct cur c = cur_of(value);
    struct str last = {0};

    for (int i = 0; i < 12 && cur_left(&c); i++) {
        struct str word;

        header_skip_cfws(&c);
        word = header_token(&c);
        if (!word.n)
            cur_next(&c);
        else
            last = word;
    }
    put(t, prefix, last);
}

/*
 * Not those of who passed it on, such as Sender, Return-Path, List-Id: they say one thing many times, and
 * one spam that came over a list would make all of its mail suspect.
 */
static const struct {
    struct str name, prefix;
    void (*put)(struct tokeniser *t, struct str prefix, struct str value);
} fields[] = {
    {STR_("Subject"), STR_("subject:"), put_text},
    {STR_("From"), STR_("from:"), put_addresses},
    {STR_("Reply-To"), STR_("reply-to:"), put_addresses},
    {STR_("To"), STR_("to:"), put_addresses},
    {STR_("Cc"), STR_("to:"), put_addresses},
    {STR_("Message-ID"), STR_("message-id:"), put_domain},
    {STR_("Date"), STR_("zone:"), put_zone},
    {STR_("X-Mailer"), STR_("mailer:"), put_text},
    {STR_("User-Agent"), STR_("mailer:"), put_text},
    {STR_("Organization"), STR_("organization:"), put_text},
};

static const struct str upstream_fields[] = {
    STR_("From"), STR_("To"), STR_("Cc"), STR_("Bcc"), STR_("Reply-To"), STR_("Subject"),
    STR_("Sender"), STR_("Return-Path"),
};

// Fields that are there are marked in *present.
static void put_field(struct tokeniser *t, const struct header_field *f, unsigned *present)
{
    if (t->s->method == JUNK_WORDS) {
        for (size_t i = 0; i < COUNT(upstream_fields); i++)
            if (str_eq_ci(f->name, upstream_fields[i]))
                upstream_words_put(t, arena_printf(t->a, "%s:", upstream_fields[i].p), 4,
                                   encoded_word_decode(t->a, header_unfold(t->a, f->value)));
        return;
    }
    for (size_t i = 0; i < COUNT(fields); i++)
        if (str_eq_ci(f->name, fields[i].name)) {
            fields[i].put(t, fields[i].prefix, header_unfold(t->a, f->value));
            *present |= 1u << i;
        }
}

static bool put_header(struct tokeniser *t, const struct junk_message *m, struct err *e)
{
    AUTO_BUF b = BUF_LIMIT(JUNK_MAX_HEADER);
    uint64_t n = m->root->body_start - m->root->header_start;
    unsigned present = 0;
    struct header_field f;
    struct cur c;

    if (!m->read(m->ctx, m->root->header_start, n < b.limit ? (size_t)n : b.limit, &b, e))
        return false;
    t->is_about = true;
    c = cur_of(buf_str(&b));
    while (header_next(&c, &f))
        put_field(t, &f, &present);
    if (t->s->method == JUNK_EVIDENCE)
        for (size_t i = 0; i < COUNT(fields); i++)
            if (!(present >> i & 1))
                put(t, STR("no:"), fields[i].name);
    return true;
}

/* --- the parts ----------------------------------------------------------------------------------- */

struct walk {
    struct tokeniser *t;
    const struct junk_message *m;
    size_t n_parts, text_left;
    struct buf raw, decoded, utf8, text, hidden; // used again for each part
};

static void on_link(void *ctx, struct str url)
{
    struct walk *w = ctx;

    if (w->t->s->method == JUNK_EVIDENCE)
        url_put(w->t, url);
}

static void put_body(struct walk *w, struct str text)
{
    w->t->is_about = false;
    if (w->t->s->method == JUNK_EVIDENCE)
        words_put(w->t, (struct str){0}, text);
    else
        upstream_words_put(w->t, (struct str){0}, 3, text);
}

// Whether bytes of that charset that look like ASCII are something else.
static bool is_shifting(struct str charset)
{
    return str_starts_ci(charset, STR("utf-7")) || str_starts_ci(charset, STR("utf-16")) ||
           str_starts_ci(charset, STR("utf-32")) || str_starts_ci(charset, STR("iso-2022"));
}

// Some of the text of a part, as far as there is an allowance.
static bool put_part_text(struct walk *w, const struct part *p, struct err *e)
{
    struct transfer_decoder d = {.encoding = transfer_of(p->encoding)};
    uint64_t n = p->body_end - p->body_start;
    struct str charset = param_get(&p->params, STR("charset")), text;
    size_t most = w->text_left * (d.encoding == TRANSFER_IDENTITY ? 1 : 3) + 64;

    buf_reset(&w->raw);
    buf_reset(&w->decoded);
    buf_reset(&w->utf8);
    buf_reset(&w->text);
    buf_reset(&w->hidden);
    if (!w->m->read(w->m->ctx, p->body_start, n < most ? (size_t)n : most, &w->raw, e))
        return false;
    if (d.encoding == TRANSFER_IDENTITY) {
        text = buf_str(&w->raw);
    } else {
        transfer_feed(&d, buf_str(&w->raw), &w->decoded);
        transfer_end(&d, &w->decoded);
        text = buf_str(&w->decoded);
    }
    text = str_sub(text, 0, w->text_left);
    // Reading a part costs something even when it is empty.
    w->text_left -= text.n + 64 < w->text_left ? text.n + 64 : w->text_left;
    if (is_shifting(charset) || !str_is_ascii(text)) {
        charset_put_utf8(&w->utf8, charset, text);
        text = buf_str(&w->utf8);
    }
    if (str_eq(p->subtype, STR("html"))) {
        // Upstream's words are all that is in it.
        html_text(text, &w->text, w->t->s->method == JUNK_EVIDENCE ? &w->hidden : &w->text, on_link, w);
        text = buf_str(&w->text);
    }
    put_body(w, text);
    if (w->hidden.n) {
        token_put(w->t, STR("html:"), STR("hidden"));
        words_put(w->t, STR("hidden:"), buf_str(&w->hidden));
    }
    return true;
}

static void put_structure(struct walk *w, const struct part *p)
{
    struct str name = param_get(&p->disposition_params, STR("filename"));
    char bytes[2 * JUNK_MAX_WORD];
    struct buf type = {bytes, 0, sizeof bytes, sizeof bytes, false};
    ptrdiff_t dot;

    if (w->t->s->method != JUNK_EVIDENCE)
        return;
    if (!name.n)
        name = param_get(&p->params, STR("name"));
    dot = str_find_last(name, '.');
    w->t->is_about = true;
    buf_put(&type, str_sub(p->type, 0, 40));
    buf_put_char(&type, '/');
    buf_put(&type, str_sub(p->subtype, 0, 40));
    put(w->t, STR("type:"), buf_str(&type));
    put(w->t, STR("charset:"), param_get(&p->params, STR("charset")));
    put(w->t, STR("encoding:"), p->encoding);
    if (dot != STR_NONE)
        put(w->t, STR("file:"), str_from(name, (size_t)dot));
}

static bool put_parts(struct walk *w, const struct part *p, unsigned depth, struct err *e)
{
    for (; p && depth < MIME_MAX_DEPTH; p = p->next) {
        if (w->n_parts++ >= JUNK_MAX_PARTS || !w->text_left)
            return true;
        put_structure(w, p);
        if (p->child) {
            if (!put_parts(w, p->child, depth + 1, e))
                return false;
        } else if ((part_is_text(p) || str_eq(p->type, STR("text"))) &&
                   !put_part_text(w, p, e)) {
            return false;
        }
    }
    return true;
}

bool junk_tokenise(struct arena *a, const struct junk_settings *s, const struct junk_key *key,
                   const struct junk_message *m, struct junk_tokens *out, struct err *e)
{
    struct tokeniser t = {.a = a, .s = s, .key = *key, .out = out};
    struct walk w = {.t = &t, .m = m, .text_left = JUNK_MAX_TEXT,
                     .raw = BUF_LIMIT(3 * JUNK_MAX_TEXT + 64),
                     .decoded = BUF_LIMIT(3 * JUNK_MAX_TEXT + 64),
                     .utf8 = BUF_LIMIT(4 * JUNK_MAX_TEXT), .text = BUF_LIMIT(4 * JUNK_MAX_TEXT),
                     .hidden = BUF_LIMIT(4 * JUNK_MAX_TEXT)};
    bool ok;

    *out = (struct junk_tokens){ARENA_ARRAY(a, FEW_TOKENS, struct junk_token), 0, FEW_TOKENS};
    ok = put_header(&t, m, e) && put_parts(&w, m->root, 0, e);
    buf_fini(&w.raw);
    buf_fini(&w.decoded);
    buf_fini(&w.utf8);
    buf_fini(&w.text);
    buf_fini(&w.hidden);
    return ok;
}
