/*
 * The fields of a header that are searched for most, apart from the message: a search then reads a
 * few hundred bytes of each and no message at all. Each is there as it stands, unfolded, and once
 * more decoded when that differs: kind, length, text.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/store_priv.h"

static const struct str kinds[] = {STR_("From"), STR_("To"), STR_("Cc"), STR_("Bcc"),
                                   STR_("Subject"), STR_("Date"), STR_("Message-Id")};

// A header that is longer, or has more of these fields, is searched as it is in the message.
enum { MOST_HEADER = 256 * 1024, MOST_FIELDS = 32 * 1024 };

int store_header_kind(struct str name)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (str_eq_ci(name, kinds[i]))
            return (int)i;
    return -1;
}

static void put_field(struct buf *out, int kind, struct str text)
{
    uint32_t n = (uint32_t)text.n;

    buf_put_char(out, (char)kind);
    buf_put(out, str_at(&n, sizeof n));
    buf_put(out, text);
}

bool store_header_next(struct str *fields, int kind, struct str *out)
{
    while (fields->n > sizeof(uint32_t)) {
        int found = fields->p[0];
        uint32_t n;

        memcpy(&n, fields->p + 1, sizeof n);
        *out = str_sub(*fields, 1 + sizeof n, n);
        *fields = str_from(*fields, 1 + sizeof n + out->n);
        if (found == kind)
            return true;
    }
    return false;
}

// The header: the prefix, and what the file has of it.
static bool read_header(struct arena *a, const struct store_new *m, uint64_t n, struct str *out)
{
    char *bytes = arena_alloc(a, (size_t)n + 1);
    size_t have = m->prefix.n < n ? m->prefix.n : (size_t)n;

    if (have)
        memcpy(bytes, m->prefix.p, have);
    while (have < n) {
        ssize_t got = pread(m->fd, bytes + have, (size_t)n - have,
                            (off_t)(m->offset + (have - m->prefix.n)));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    *out = str_at(bytes, have);
    return true;
}

void header_summary(struct arena *a, const struct store_new *m, const struct part *root,
                    struct str *out)
{
    AUTO_BUF fields = BUF_LIMIT(MOST_FIELDS);
    struct header_field field;
    struct str header;
    struct cur c;

    *out = (struct str){0};
    if (root->body_start > MOST_HEADER || !read_header(a, m, root->body_start, &header))
        return;
    c = cur_of(header);
    while (header_next(&c, &field)) {
        int kind = store_header_kind(field.name);
        struct str value, decoded;

        if (kind < 0)
            continue;
        value = header_unfold(a, field.value);
        decoded = encoded_word_decode(a, value);
        put_field(&fields, kind, value);
        if (!str_eq(decoded, value))
            put_field(&fields, kind, decoded);
    }
    if (!fields.full)
        *out = fields.n ? arena_dup(a, buf_str(&fields)) : STR("");
}

bool insert_header(struct store *st, uint64_t email, struct str fields, struct err *e)
{
    AUTO_STMT s = NULL;

    if (!fields.p) // not made
        return true;
    s = db_prepare(st->db, "INSERT INTO header (email, fields) VALUES (?, ?)", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    stmt_bind_blob(s, 2, fields);
    return stmt_run(s, e);
}

bool store_header_read(struct store_reader *r, uint64_t email, store_header_fn *fn, void *ctx,
                       bool *exists, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT fields FROM header WHERE email = ?", e);

    *exists = false;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE;
    *exists = true;
    fn(ctx, stmt_str(s, 0));
    return true;
}
