/*
 * SEARCH (RFC 9051 6.4.4, RFC 4731, RFC 5182).
 */
#include <stdlib.h>
#include <string.h>

#include "message/mime.h"
#include "role/account/imap_conn.h"
#include "text/date.h"
#include "text/encode.h"

enum { MOST_TEXT = 32 << 20, MOST_HEADER = 4 << 20, FOLD_MEMORY = 512 << 20 };

/*
 * A message being looked at; bytes are read when a key first needs them, and kept in a. What is made of
 * them for one comparison is not: there are many keys, and parts.
 */
struct candidate {
    struct imap_conn *c;
    uint32_t at;
    const struct view_row *row;
    struct arena a;
    struct part *root;
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

static bool need_tree(struct candidate *m)
{
    return m->root || (need_email(m) && part_decode(&m->a, m->email.tree, &m->root, m->e));
}

// The message's header, as it is.
static struct str header_of(struct candidate *m)
{
    AUTO_BUF b = BUF_LIMIT(MOST_HEADER);

    if (!m->has_header && need_tree(m) &&
        read_span(m, 0, m->root->body_start < MOST_HEADER ? m->root->body_start : MOST_HEADER, &b))
        m->header = arena_dup(&m->a, buf_str(&b));
    m->has_header = true;
    return m->header;
}

// Without regard to case: of all letters, when there are others than those of ASCII.
static bool contains(struct str text, struct str what)
{
    AUTO_ARENA folded = ARENA_LIMIT(FOLD_MEMORY);

    if (str_find_str_ci(text, what) >= 0)
        return true;
    return !str_is_ascii(what) && !str_is_ascii(text) &&
           str_find_str(utf8_fold(&folded, text), utf8_fold(&folded, what)) >= 0;
}

// A field's text, as it stands or decoded.
static bool field_contains(struct str value, struct str what)
{
    AUTO_ARENA a = ARENA_LIMIT(8 * MOST_HEADER);
    struct str unfolded = header_unfold(&a, value);

    return contains(unfolded, what) || contains(encoded_word_decode(&a, unfolded), what);
}

/* What is looked for in the fields that the store keeps apart. */
struct lookup {
    struct candidate *m;
    int kind;
    struct str what;
    bool is_match, is_date;
    struct date date;
};

static void look_up(void *ctx, struct str fields)
{
    struct lookup *l = ctx;
    struct str text;

    while (!l->is_match && store_header_next(&fields, l->kind, &text))
        l->is_match = l->is_date ? date_parse(text, &l->date) : contains(text, l->what);
}

// Substring in a header field; decoded and as it stands. Address fields too.
static bool header_matches(struct candidate *m, struct str name, struct str what)
{
    struct lookup l = {.m = m, .kind = store_header_kind(name), .what = what};
    struct header_field field;
    struct cur c;
    bool exists = false;

    if (l.kind >= 0 && !store_header_read(m->c->reader, m->row->email, look_up, &l, &exists, m->e))
        return false;
    if (exists)
        return l.is_match;
    c = cur_of(header_of(m));
    while (header_next(&c, &field)) {
        if (!str_eq_ci(field.name, name))
            continue;
        if (!what.n || field_contains(field.value, what)) // RFC 9051: presence
            return true;
    }
    return false;
}

// Anywhere in a header, as it stands or decoded.
static bool whole_header_matches(struct str header, struct str what)
{
    struct cur c = cur_of(header);
    struct header_field field;

    if (contains(header, what))
        return true;
    while (header_next(&c, &field))
        if (field_contains(field.value, what))
            return true;
    return false;
}

static bool embedded_header_matches(struct candidate *m, const struct part *p, struct str what)
{
    AUTO_BUF header = BUF_LIMIT(MOST_HEADER);
    uint64_t end = p->body_start - p->header_start < MOST_HEADER ? p->body_start
                                                                 : p->header_start + MOST_HEADER;

    return read_span(m, p->header_start, end, &header) &&
           whole_header_matches(buf_str(&header), what);
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

// Text parts, and the headers of embedded messages, which are body, too.
static bool body_matches(struct candidate *m, const struct part *p, struct str what)
{
    for (; p && !m->e->kind; p = p->next) {
        if (p->is_message && p->child && embedded_header_matches(m, p->child, what))
            return true;
        if (p->child ? body_matches(m, p->child, what)
                     : part_is_text(p) && part_matches(m, p, what))
            return true;
    }
    return false;
}

static bool text_matches(struct candidate *m, struct str what, bool with_header)
{
    if (!need_tree(m))
        return false;
    if (with_header && whole_header_matches(header_of(m), what))
        return true;
    return !what.n || body_matches(m, m->root, what);
}

static bool has_keyword(struct str keywords, struct str word)
{
    while (keywords.n) {
        struct str one, rest = {0};

        if (!str_cut(keywords, ' ', &one, &rest))
            one = keywords;
        if (str_eq(one, word))
            return true;
        keywords = rest;
    }
    return false;
}

// compile() has left the flag in number, or the keyword as it is stored in value.
static bool has_flag(const struct candidate *m, const struct imap_search_key *k)
{
    return k->number ? m->row->flags & k->number
                     : k->value.n && has_keyword(m->row->keywords, k->value);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static bool in_set(const struct candidate *m, const struct imap_set *set, bool is_uid)
{
    const struct imap_conn *c = m->c;

    if (set->is_saved)
        return c->n_saved &&
               bsearch(&m->row->uid, c->saved, c->n_saved, sizeof *c->saved, by_number);
    return imap_set_has(set, is_uid ? m->row->uid : m->at + 1);
}

static int64_t day_of(int64_t unix_seconds)
{
    return unix_seconds >= 0 ? unix_seconds / 86400 : (unix_seconds - 86399) / 86400;
}

/* RFC 9051 6.4.4: the date as the header has it, whatever its zone; without one that of arrival. */
static int64_t sent_day(struct candidate *m)
{
    struct lookup l = {.m = m, .kind = store_header_kind(STR("Date")), .is_date = true};
    struct str start, text, rest;
    bool exists;

    if (!store_header_read(m->c->reader, m->row->email, look_up, &l, &exists, m->e))
        return 0;
    // The envelope begins with the date.
    if (!exists && need_email(m) && str_cut(m->email.envelope, '"', &start, &rest) &&
        start.n == 1 && str_cut(rest, '"', &text, &rest))
        l.is_match = date_parse(text, &l.date);
    return l.is_match ? day_of(l.date.unix_seconds + 60 * (int64_t)l.date.zone_minutes)
                      : day_of(m->row->received_unix);
}

// The day it came into the mailbox; one that was expunged meanwhile matches as it arrived.
static int64_t saved_day(struct candidate *m)
{
    int64_t saved;

    return day_of(store_saved_unix(m->c->reader, m->c->view->mailbox, m->row->uid, &saved, m->e)
                      ? saved : m->row->received_unix);
}

static bool has_id(char type, uint64_t number, struct str value)
{
    AUTO_BUF id = BUF_LIMIT(32);

    imap_id_put(&id, type, number);
    return str_eq(buf_str(&id), value);
}

static bool has_thread(struct candidate *m, struct str value)
{
    uint64_t thread;

    return store_thread_of(m->c->reader, m->row->email, &thread, m->e) &&
           has_id('t', thread, value);
}

static bool matches(struct candidate *m, const struct imap_search_key *k)
{
    switch (k->op) {
    case SEARCH_ALL:
        return true;
    case SEARCH_NONE:
        return false;
    case SEARCH_FLAG:
    case SEARCH_KEYWORD:
        return has_flag(m, k);
    case SEARCH_NOT_FLAG:
    case SEARCH_NOT_KEYWORD:
        return !has_flag(m, k);
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
    case SEARCH_SAVEDBEFORE:
        return saved_day(m) < k->day;
    case SEARCH_SAVEDON:
        return saved_day(m) == k->day;
    case SEARCH_SAVEDSINCE:
        return saved_day(m) >= k->day;
    case SEARCH_EMAILID:
        return has_id('m', m->row->email, k->value);
    case SEARCH_THREADID:
        return has_thread(m, k->value);
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

// What is the same for all messages, once: sets sorted, flags and keywords as they are stored.
static void compile(struct imap_conn *c, struct imap_search_key *k)
{
    const struct view *v = c->view;

    for (; k; k = k->next) {
        struct store_names keywords = {0};
        struct err unknown = {0};
        uint32_t flags = 0;

        if (k->op == SEARCH_UID) {
            k->set = imap_set_sorted(&c->a, &k->set, v->n ? v->rows[v->n - 1].uid : 0, 1,
                                     UINT32_MAX);
        } else if (k->op == SEARCH_SEQUENCE) {
            k->set = imap_set_sorted(&c->a, &k->set, v->n, 1, UINT32_MAX);
        } else if (k->op == SEARCH_FLAG || k->op == SEARCH_NOT_FLAG || k->op == SEARCH_KEYWORD ||
                   k->op == SEARCH_NOT_KEYWORD) {
            if (!store_flag_parse(&c->a, k->name.n ? k->name : k->value, &flags, &keywords,
                                  &unknown))
                flags = 0; // what cannot be a keyword is none of any message
            k->number = flags;
            k->value = keywords.n ? keywords.items[0] : STR("");
        }
        compile(c, k->child);
    }
}

/* What matched. */
struct found {
    uint32_t *uids, *numbers;
    size_t n;
    uint64_t modseq; // highest of those that the response is about
};

// Whether a look from one end, or from both, is enough (RFC 4731 3.1).
static bool wants_ends(const struct imap_search *s)
{
    return (s->returns & (RETURN_MIN | RETURN_MAX)) && !(s->returns & (RETURN_ALL | RETURN_COUNT));
}

static bool look_at(struct imap_conn *c, const struct imap_search *s, size_t at, struct found *out,
                    struct err *e)
{
    const struct view_row *row = &c->view->rows[at];
    struct candidate m = {.c = c, .at = (uint32_t)at, .row = row, .a = ARENA_LIMIT(256 << 20),
                          .e = e};
    bool is_match = matches(&m, s->key);

    arena_fini(&m.a);
    if (!is_match || e->kind)
        return false;
    out->uids[out->n] = row->uid;
    out->numbers[out->n++] = (uint32_t)at + 1;
    out->modseq = row->modseq > out->modseq ? row->modseq : out->modseq;
    return true;
}

static bool run(struct imap_conn *c, const struct imap_search *s, struct found *out, struct err *e)
{
    const struct view *v = c->view;
    size_t room = wants_ends(s) ? 2 : v->n, from = 0;

    compile(c, s->key);
    *out = (struct found){ARENA_ARRAY(&c->a, room + 1, uint32_t),
                          ARENA_ARRAY(&c->a, room + 1, uint32_t), 0, 0};
    if (!wants_ends(s)) {
        for (size_t i = 0; i < v->n && !e->kind; i++)
            (void)look_at(c, s, i, out, e);
        return !e->kind;
    }
    if (s->returns & RETURN_MIN) {
        while (from < v->n && !look_at(c, s, from, out, e) && !e->kind)
            from++;
        from++;
    }
    // The last match may be the first one, too.
    if (s->returns & RETURN_MAX)
        for (size_t i = v->n; i > from && !e->kind;)
            if (look_at(c, s, --i, out, e))
                break;
    return !e->kind;
}

// In one read transaction: beginning one for every message looked at took longer than looking.
static bool run_at_once(struct imap_conn *c, const struct imap_search *s, struct found *out,
                        struct err *e)
{
    bool is_ok = store_read_begin(c->reader, e) && run(c, s, out, e);

    store_read_end(c->reader);
    return is_ok;
}

// RFC 5182 2.1, RFC 9051 6.4.4.1: with MIN or MAX alone only what they found is saved.
static void save(struct imap_conn *c, const struct found *f)
{
    free(c->saved);
    c->saved = heap_array(f->n + 1, sizeof *c->saved);
    if (f->n)
        memcpy(c->saved, f->uids, f->n * sizeof *c->saved);
    c->n_saved = f->n;
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
    struct found f = {0};
    struct err e = {0};

    if (!imap_space(p) || !imap_search_arguments(p, &s)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    c->used_numbers = s.has_numbers;
    if (s.has_bad_charset) {
        imap_no(c, "BADCHARSET (US-ASCII UTF-8)", STR("charset not supported"));
    } else if (!run_at_once(c, &s, &f, &e)) {
        f.n = 0;
        imap_store_failed(c, &e, NULL);
    } else {
        if (s.has_modseq)
            imap_enable_condstore(c);
        // RFC 9051 6.4.4: IMAP4rev2 has no other response.
        if (!s.has_return && c->has_rev2)
            s.returns = RETURN_ALL;
        if (!s.has_return && !c->has_rev2)
            put_search(c, &s, &f, is_uid ? f.uids : f.numbers);
        else if (s.returns != RETURN_SAVE)
            put_esearch(c, &s, &f, is_uid ? f.uids : f.numbers, is_uid);
        imap_ok(c, arena_printf(&c->a, "%sSEARCH done", is_uid ? "UID " : ""));
    }
    // RFC 5182 2.1: after a NO there is nothing in it.
    if (s.returns & RETURN_SAVE)
        save(c, &f);
}
