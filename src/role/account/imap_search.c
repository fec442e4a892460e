/*
 * SEARCH (RFC 9051 6.4.4, RFC 4731, RFC 5182).
 */
#include <stdlib.h>

#include "message/mime.h"
#include "role/account/imap_conn.h"
#include "text/date.h"
#include "text/encode.h"

enum { MOST_TEXT = 32 << 20, MOST_HEADER = 4 << 20 };

/* A message being looked at; bytes are read when a key first needs them. */
struct candidate {
    struct imap_conn *c;
    uint32_t at;
    const struct view_row *row;
    struct arena a;
    struct str header;
    bool has_header;
    struct store_email email;
    bool has_email;
    struct err *e;
};

static bool to_buf(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static bool need_email(struct candidate *m)
{
    if (!m->has_email)
        m->has_email = store_email_get(m->c->reader, &m->a, m->row->email, &m->email, m->e);
    return m->has_email;
}

static bool read_span(struct candidate *m, uint64_t start, uint64_t end, struct buf *out)
{
    return start >= end ||
           store_email_read(m->c->reader, m->row->email, start, end - start, to_buf, out, m->e);
}

// The message's header, as it is.
static struct str header_of(struct candidate *m)
{
    AUTO_BUF b = BUF_LIMIT(MOST_HEADER);
    struct part *root;

    if (!m->has_header && need_email(m) && part_decode(&m->a, m->email.tree, &root, m->e) &&
        read_span(m, 0, root->body_start < MOST_HEADER ? root->body_start : MOST_HEADER, &b))
        m->header = arena_dup(&m->a, buf_str(&b));
    m->has_header = true;
    return m->header;
}

static bool contains(struct str text, struct str what)
{
    return str_find_str_ci(text, what) >= 0;
}

// Substring in a header field; decoded and as it stands. Address fields too.
static bool header_matches(struct candidate *m, struct str name, struct str what)
{
    struct cur c = cur_of(header_of(m));
    struct header_field field;

    while (header_next(&c, &field)) {
        struct str value;

        if (!str_eq_ci(field.name, name))
            continue;
        if (!what.n)
            return true; // RFC 9051: presence
        value = header_unfold(&m->a, field.value);
        if (contains(value, what) || contains(encoded_word_decode(&m->a, value), what))
            return true;
    }
    return false;
}

// A text part, decoded to UTF-8, searched piece by piece in memory of one part.
static bool part_matches(struct candidate *m, const struct part *p, struct str what)
{
    AUTO_BUF raw = BUF_LIMIT(MOST_TEXT);
    AUTO_BUF decoded = BUF_LIMIT(MOST_TEXT);
    AUTO_BUF utf8 = BUF_LIMIT(2 * MOST_TEXT);
    struct transfer_decoder d = {.encoding = transfer_of(p->encoding)};
    uint64_t end = p->body_end - p->body_start < MOST_TEXT ? p->body_end : p->body_start + MOST_TEXT;

    if (!read_span(m, p->body_start, end, &raw))
        return false;
    transfer_feed(&d, buf_str(&raw), &decoded);
    transfer_end(&d, &decoded);
    charset_put_utf8(&utf8, param_get(&p->params, STR("charset")), buf_str(&decoded));
    return contains(buf_str(&utf8), what);
}

static bool body_matches(struct candidate *m, const struct part *p, struct str what)
{
    for (; p; p = p->next) {
        if (p->child ? body_matches(m, p->child, what)
                     : part_is_text(p) && part_matches(m, p, what))
            return true;
    }
    return false;
}

// Header fields of the message and of those embedded in it count for TEXT.
static bool text_matches(struct candidate *m, struct str what, bool with_header)
{
    struct part *root;

    if (!need_email(m) || !part_decode(&m->a, m->email.tree, &root, m->e))
        return false;
    if (with_header) {
        struct cur c = cur_of(header_of(m));
        struct header_field field;

        if (contains(header_of(m), what))
            return true;
        while (header_next(&c, &field)) {
            struct str value = header_unfold(&m->a, field.value);

            if (contains(encoded_word_decode(&m->a, value), what))
                return true;
        }
    }
    return !what.n || body_matches(m, root, what);
}

static bool has_flag(const struct candidate *m, struct str word)
{
    struct store_names keywords = {0};
    struct arena a = ARENA_LIMIT(1 << 20);
    uint32_t flags = 0;
    struct err e = {0};
    bool is_set = false;

    if (store_flag_parse(&a, word, &flags, &keywords, &e)) {
        is_set = flags && (m->row->flags & flags) == flags;
        if (keywords.n) {
            struct str rest = m->row->keywords, one;

            for (bool more = rest.n > 0; more && !is_set;) {
                more = str_cut(rest, ' ', &one, &rest);
                if (!more)
                    one = rest;
                is_set = str_eq_ci(one, keywords.items[0]);
            }
        }
    }
    arena_fini(&a);
    return is_set;
}

static bool in_set(const struct candidate *m, const struct imap_set *set, bool is_uid)
{
    const struct view *v = m->c->view;
    uint64_t number = is_uid ? m->row->uid : m->at + 1;
    uint64_t star = is_uid ? v->rows[v->n - 1].uid : v->n;

    if (set->is_saved)
        for (size_t i = 0; i < m->c->n_saved; i++)
            if (m->c->saved[i] == m->row->uid)
                return true;
    for (size_t i = 0; i < set->n; i++) {
        uint64_t a = set->ranges[i].first == IMAP_STAR ? star : set->ranges[i].first;
        uint64_t b = set->ranges[i].last == IMAP_STAR ? star : set->ranges[i].last;

        if (number >= (a < b ? a : b) && number <= (a < b ? b : a))
            return true;
    }
    return false;
}

static int64_t day_of(int64_t unix_seconds)
{
    return unix_seconds >= 0 ? unix_seconds / 86400 : (unix_seconds - 86399) / 86400;
}

static int64_t sent_day(struct candidate *m)
{
    return need_email(m) ? day_of(m->email.sent_unix) : 0;
}

static bool matches(struct candidate *m, const struct imap_search_key *k)
{
    switch (k->op) {
    case SEARCH_ALL:
        return true;
    case SEARCH_NONE:
        return false;
    case SEARCH_FLAG:
        return has_flag(m, k->name);
    case SEARCH_NOT_FLAG:
        return !has_flag(m, k->name);
    case SEARCH_KEYWORD:
        return has_flag(m, k->value);
    case SEARCH_NOT_KEYWORD:
        return !has_flag(m, k->value);
    case SEARCH_BEFORE:
        return day_of(m->row->received_unix) < k->day;
    case SEARCH_ON:
        return day_of(m->row->received_unix) == k->day;
    case SEARCH_SINCE:
        return day_of(m->row->received_unix) >= k->day;
    case SEARCH_SENTBEFORE:
        return sent_day(m) < k->day;
    case SEARCH_SENTON:
        return sent_day(m) == k->day;
    case SEARCH_SENTSINCE:
        return sent_day(m) >= k->day;
    case SEARCH_LARGER:
        return m->row->size > k->number;
    case SEARCH_SMALLER:
        return m->row->size < k->number;
    case SEARCH_HEADER:
        return header_matches(m, k->name, k->value);
    case SEARCH_BODY:
        return text_matches(m, k->value, false);
    case SEARCH_TEXT:
        return text_matches(m, k->value, true);
    case SEARCH_UID:
        return in_set(m, &k->set, true);
    case SEARCH_SEQUENCE:
        return in_set(m, &k->set, false);
    case SEARCH_MODSEQ:
        return m->row->modseq >= k->number;
    case SEARCH_NOT:
        return !matches(m, k->child);
    case SEARCH_OR:
        return matches(m, k->child) || matches(m, k->child->next);
    case SEARCH_AND:
        for (const struct imap_search_key *child = k->child; child; child = child->next)
            if (!matches(m, child))
                return false;
        return true;
    }
    return false;
}

/* What matched. */
struct found {
    uint32_t *uids, *numbers;
    size_t n;
    uint64_t modseq; // highest
};

static bool run(struct imap_conn *c, const struct imap_search *s, struct found *out, struct err *e)
{
    const struct view *v = c->view;

    *out = (struct found){ARENA_ARRAY(&c->a, v->n + 1, uint32_t),
                          ARENA_ARRAY(&c->a, v->n + 1, uint32_t), 0, 0};
    for (size_t i = 0; i < v->n; i++) {
        struct candidate m = {.c = c, .at = (uint32_t)i, .row = &v->rows[i],
                              .a = ARENA_LIMIT(256 << 20), .e = e};
        bool is_match = matches(&m, s->key);

        arena_fini(&m.a);
        if (e->kind)
            return false;
        if (!is_match)
            continue;
        out->uids[out->n] = v->rows[i].uid;
        out->numbers[out->n++] = (uint32_t)i + 1;
        if (v->rows[i].modseq > out->modseq)
            out->modseq = v->rows[i].modseq;
    }
    return true;
}

static void save(struct imap_conn *c, const struct imap_search *s, const struct found *f)
{
    size_t from = 0, n = f->n;

    free(c->saved);
    // RFC 5182 2.1: with MIN or MAX alone only those are saved.
    if (!(s->returns & (RETURN_ALL | RETURN_COUNT)) && (s->returns & (RETURN_MIN | RETURN_MAX))) {
        if (!(s->returns & RETURN_MIN) && n) {
            from = n - 1;
            n = 1;
        } else if (!(s->returns & RETURN_MAX) && n) {
            n = 1;
        } else if (n > 2) {
            f->uids[1] = f->uids[n - 1];
            n = 2;
        }
    }
    c->saved = heap_array(n + 1, sizeof *c->saved);
    for (size_t i = 0; i < n; i++)
        c->saved[i] = f->uids[from + i];
    c->n_saved = n;
}

/* RFC 4731 3.1, RFC 7162 3.1.10. */
static void put_esearch(struct imap_conn *c, const struct imap_search *s, const struct found *f,
                        const uint32_t *numbers, bool is_uid)
{
    struct buf *out = &c->out;

    BUF_PUT(out, "* ESEARCH (TAG \"");
    buf_put(out, c->tag);
    buf_put(out, is_uid ? STR("\") UID") : STR("\")"));
    if (f->n && (s->returns & RETURN_MIN))
        buf_printf(out, " MIN %u", numbers[0]);
    if (f->n && (s->returns & RETURN_MAX))
        buf_printf(out, " MAX %u", numbers[f->n - 1]);
    if (f->n && (s->returns & RETURN_ALL)) {
        BUF_PUT(out, " ALL ");
        imap_uids_put(out, numbers, f->n);
    }
    if (s->returns & RETURN_COUNT)
        buf_printf(out, " COUNT %zu", f->n);
    if (s->has_modseq && f->n)
        buf_printf(out, " MODSEQ %llu", (unsigned long long)f->modseq);
    BUF_PUT(out, "\r\n");
}

static void put_search(struct imap_conn *c, const struct imap_search *s, const struct found *f,
                       const uint32_t *numbers)
{
    enum { NUMBERS_PER_LINE = 100 }; // mox-imap-store-cli-config.md 1.1
    struct buf *out = &c->out;
    size_t i = 0;

    do {
        BUF_PUT(out, "* SEARCH");
        for (size_t k = 0; k < NUMBERS_PER_LINE && i < f->n; k++, i++)
            buf_printf(out, " %u", numbers[i]);
        if (s->has_modseq && f->n && i == f->n)
            buf_printf(out, " (MODSEQ %llu)", (unsigned long long)f->modseq);
        BUF_PUT(out, "\r\n");
    } while (i < f->n);
}

void cmd_search(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    struct imap_search s;
    struct found f;
    struct err e = {0};

    if (!imap_space(p) || !imap_search_arguments(p, &s)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (s.has_bad_charset) {
        imap_no(c, "BADCHARSET (US-ASCII UTF-8)", STR("charset not supported"));
        return;
    }
    c->has_condstore |= s.has_modseq;
    if (!run(c, &s, &f, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    if (!s.has_return)
        put_search(c, &s, &f, is_uid ? f.uids : f.numbers);
    else if (s.returns != RETURN_SAVE)
        put_esearch(c, &s, &f, is_uid ? f.uids : f.numbers, is_uid);
    if (s.returns & RETURN_SAVE)
        save(c, &s, &f);
    imap_ok(c, arena_printf(&c->a, "%sSEARCH done", is_uid ? "UID " : ""));
}
