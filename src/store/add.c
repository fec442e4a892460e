/*
 * Adding messages: parsed before the transaction, stored in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "message/summary.h"
#include "os/clock.h"
#include "proto/imap/structure.h"
#include "store/reputation.h"
#include "store/store_priv.h"
#include "text/date.h"
#include "text/encode.h"

enum { BLOCK = 64 * 1024, PREVIEW_BYTES = 32 * 1024, MOST_STRUCTURE = 16 << 20 };

// Calls fn for the message's bytes in blocks: the prefix, then the file.
static bool each_block(const struct store_new *m, char *block, size_t block_size, chunk_fn *fn,
                       void *ctx, struct err *e)
{
    uint64_t at = 0;

    if (m->prefix.n && !fn(ctx, m->prefix))
        return false;
    while (at < m->size) {
        size_t want = m->size - at < block_size ? (size_t)(m->size - at) : block_size;
        ssize_t n = pread(m->fd, block, want, (off_t)(m->offset + at));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? fail_errno(e, "read message")
                         : fail(e, ERR_TEMPORARY, "message is shorter than announced");
        if (!fn(ctx, str_at(block, (size_t)n)))
            return false;
        at += (size_t)n;
    }
    return true;
}

static bool feed(void *ctx, struct str bytes)
{
    mime_parser_feed(ctx, bytes);
    return true;
}

// The start of the first text part, decoded.
static struct str first_text(struct arena *a, const struct store_new *m, const struct part *root)
{
    const struct part *p = message_first_text(root);
    struct transfer_decoder d = {0};
    AUTO_BUF decoded = BUF_LIMIT(4 * PREVIEW_BYTES);
    AUTO_BUF utf8 = BUF_LIMIT(16 * PREVIEW_BYTES);
    uint64_t start, n;
    char *bytes;
    ssize_t got;

    if (!p || p->body_start < m->prefix.n)
        return (struct str){0};
    start = p->body_start - m->prefix.n;
    n = p->body_end - p->body_start;
    if (n > PREVIEW_BYTES)
        n = PREVIEW_BYTES;
    bytes = arena_alloc(a, (size_t)n);
    got = pread(m->fd, bytes, (size_t)n, (off_t)(m->offset + start));
    if (got <= 0)
        return (struct str){0};
    d.encoding = transfer_of(p->encoding);
    transfer_feed(&d, str_at(bytes, (size_t)got), &decoded);
    transfer_end(&d, &decoded);
    charset_put_utf8(&utf8, param_get(&p->params, STR("charset")), buf_str(&decoded));
    return arena_dup(a, buf_str(&utf8));
}

// The tree of a message, or of one that is not to be parsed: a text without a header.
static bool parse_tree(struct arena *a, const struct store_new *m, bool is_opaque,
                       struct part **out, struct err *e)
{
    struct mime_parser *parser = mime_parser_new(a);
    char *block = arena_alloc(a, BLOCK);
    bool is_broken, ok = is_opaque || each_block(m, block, BLOCK, feed, parser, e);

    *out = mime_parser_end(parser, &is_broken);
    if (is_opaque)
        (*out)->body_end = m->prefix.n + m->size;
    return ok;
}

static bool parse(struct arena *a, const struct store_new *m, bool is_opaque, struct parsed *out,
                  struct err *e)
{
    AUTO_BUF b = BUF_LIMIT(MOST_STRUCTURE);
    struct date sent;

    *out = (struct parsed){.size = m->prefix.n + m->size};
    if (!parse_tree(a, m, is_opaque, &out->root, e))
        return false;
    imap_envelope_put(&b, out->root->envelope);
    out->envelope = arena_dup(a, buf_str(&b));
    buf_reset(&b);
    imap_bodystructure_put(&b, out->root, true);
    if (b.full) {
        // Thousands of embedded envelopes, each with hundreds of addresses in few bytes: clients would
        // have to read that, and quotas do not count it.
        part_make_opaque(out->root);
        buf_reset(&b);
        imap_bodystructure_put(&b, out->root, true);
    }
    out->bodystructure = arena_dup(a, buf_str(&b));
    buf_reset(&b);
    part_encode(&b, out->root);
    out->tree = arena_dup(a, buf_str(&b));
    out->message_id = message_id_canonical(a, out->root->envelope->message_id);
    out->subject_base = subject_base(
        a, encoded_word_decode(a, out->root->envelope->subject), &out->is_reply);
    out->is_dsn = message_is_dsn(out->root);
    out->has_attachment = message_has_attachment(out->root);
    if (!is_opaque) {
        out->preview = message_preview(a, first_text(a, m, out->root));
        header_summary(a, m, out->root, &out->header);
    }
    out->has_sent = date_parse(out->root->envelope->date, &sent);
    out->sent_unix = out->has_sent ? sent.unix_seconds : 0;
    return true;
}

bool parse_message(struct store *st, struct arena *a, const struct store_new *m,
                   struct parsed *out, struct err *e)
{
    bool is_opaque;
    struct suspect *s = store_look_begin(st, m, &is_opaque);
    bool ok = parse(a, m, is_opaque, out, e);

    store_look_end(st, s);
    return ok;
}

struct add_one {
    struct arena arena;
    const struct store_new *m;
    struct parsed parsed;
};

struct add_job {
    struct str mailbox;
    bool create;
    const struct store_new *messages;
    size_t n;
    struct add_one *parsed; // of the only message; NULL when there are more
    uint64_t old_mailbox;   // and the message that it replaces; uid 0: none
    uint32_t old_uid;
    bool is_reject, keep_all; // the message goes to Rejects, see reject_wanted
    bool *stored;             // whether it is
    struct store_added *out;
};

struct chunk_writer {
    struct store *st;
    uint64_t owner;
    unsigned number;
    size_t first; // bytes of the first chunk
    struct buf bytes;
    struct err *e;
};

static bool flush_chunk(struct chunk_writer *w)
{
    bool ok = chunk_put(w->st->db, w->owner, w->number++, buf_str(&w->bytes), w->e);

    buf_reset(&w->bytes);
    return ok;
}

static bool write_bytes(void *ctx, struct str bytes)
{
    struct chunk_writer *w = ctx;

    while (bytes.n) {
        size_t full = w->number ? CHUNK_BYTES : w->first;
        struct str part = str_sub(bytes, 0, full - w->bytes.n);

        buf_put(&w->bytes, part);
        bytes = str_from(bytes, part.n);
        if (w->bytes.n == full && !flush_chunk(w))
            return false;
    }
    return true;
}

// The header is a chunk of its own: who asks for headers alone need not unpack what follows.
static bool store_bytes(struct store *st, uint64_t email, const struct add_one *one, struct err *e)
{
    struct chunk_writer w = {.st = st, .owner = email, .bytes = BUF_LIMIT(CHUNK_BYTES), .e = e};
    const struct store_new *m = one->m;
    uint64_t header = one->parsed.root->body_start;
    char *block = heap_alloc(BLOCK);
    bool ok;

    w.first = header && header < CHUNK_BYTES ? (size_t)header : CHUNK_BYTES;
    ok = each_block(m, block, BLOCK, write_bytes, &w, e) &&
         (!(w.bytes.n || !w.number) || flush_chunk(&w));
    buf_fini(&w.bytes);
    free(block);
    return ok;
}

// The result of an earlier delivery with this id; false when there was none, or on failure.
static bool find_delivered(struct store *st, struct str delivery_id, struct store_added *out,
                           struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT id FROM email WHERE delivery_id = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, delivery_id);
    if (!stmt_step(s, e))
        return false;
    *out = (struct store_added){.email = stmt_u64(s, 0)};
    return true;
}

static bool use_quota(struct store *st, uint64_t size, struct err *e)
{
    if (!DB_RUN(st->db, "UPDATE account SET used_bytes = used_bytes + ?1 "
                        "WHERE ?2 = 0 OR used_bytes + ?1 <= ?2", e, size, st->quota_bytes))
        return false;
    return db_changes(st->db) ||
           fail(e, ERR_LIMIT, "account is over its quota of %llu bytes",
                (unsigned long long)st->quota_bytes);
}

static bool insert_email(struct store *st, const struct add_one *one, uint64_t thread,
                         uint64_t *email, struct err *e)
{
    AUTO_STMT s = db_prepare(
        st->db,
        "INSERT INTO email (thread, delivery_id, size, received_unix, sent_unix, createseq, "
        "message_id, message_id_hash, subject_base, has_attachment, preview, summary, tree, "
        "envelope, bodystructure, reverse_path, hello, remote_ip, facts) VALUES (?1, ?2, ?3, ?4, "
        "?5, ?6, ?7, ?8, ?9, ?10, ?11, x'', ?12, ?13, ?14, ?15, ?16, ?17, ?18)", e);
    AUTO_STMT state = db_prepare(st->db, "INSERT INTO email_state (id, flags, keywords, modseq, "
                                 "memberseq) VALUES (?1, 0, '', ?2, ?2)", e);
    const struct store_new *m = one->m;
    const struct parsed *p = &one->parsed;
    uint64_t modseq;

    if (!s || !state || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_u64(s, 1, thread);
    if (m->delivery_id.n)
        stmt_bind_str(s, 2, m->delivery_id);
    else
        stmt_bind_null(s, 2);
    stmt_bind_u64(s, 3, p->size);
    stmt_bind_i64(s, 4, m->received_unix);
    if (p->has_sent)
        stmt_bind_i64(s, 5, p->sent_unix);
    else
        stmt_bind_null(s, 5);
    stmt_bind_u64(s, 6, modseq);
    stmt_bind_str(s, 7, p->message_id);
    stmt_bind_u64(s, 8, p->message_id.n ? message_id_hash(p->message_id) : 0);
    stmt_bind_str(s, 9, p->subject_base);
    stmt_bind_u64(s, 10, p->has_attachment);
    stmt_bind_str(s, 11, p->preview);
    stmt_bind_blob(s, 12, p->tree);
    stmt_bind_blob(s, 13, p->envelope);
    stmt_bind_blob(s, 14, p->bodystructure);
    stmt_bind_str(s, 15, m->reverse_path);
    stmt_bind_str(s, 16, m->hello);
    stmt_bind_str(s, 17, m->remote_ip);
    stmt_bind_blob(s, 18, m->origin ? m->origin->facts : (struct str){0});
    if (!stmt_run(s, e))
        return false;
    *email = db_last_id(st->db);
    stmt_bind_u64(state, 1, *email);
    stmt_bind_u64(state, 2, modseq);
    return stmt_run(state, e) && // its flags come with its first copy
           insert_header(st, *email, p->header, e);
}

static bool add_email(struct store *st, struct add_one *one, const struct writer_mailbox *mailbox,
                      struct store_added *out, struct err *e)
{
    const struct store_new *m = one->m;
    struct copy copy = {.size = one->parsed.size, .received_unix = m->received_unix,
                        .flags = m->flags, .keywords = m->keywords, .wanted_uid = m->uid,
                        .is_ruled = m->uid != 0};

    if (m->delivery_id.n && find_delivered(st, m->delivery_id, out, e))
        return true;
    if (e->kind != ERR_NONE)
        return false;
    out->uidvalidity = mailbox->uidvalidity;
    return use_quota(st, one->parsed.size, e) &&
           assign_thread(st, &one->arena, &one->parsed, m->received_unix, &copy.thread, e) &&
           insert_email(st, one, copy.thread, &copy.email, e) &&
           remember_references(st, &one->arena, &one->parsed, copy.thread, m->received_unix, e) &&
           store_bytes(st, copy.email, one, e) &&
           (!m->origin || origin_add(st, copy.email, mailbox->id, m, e)) &&
           add_placement(st, mailbox->id, &copy, &out->uid, e) &&
           (!mailbox->is_sent || note_recipients(st, &one->arena, one->parsed.root->envelope,
                                                 m->received_unix, e)) &&
           (!m->rejects.n ||
            drop_rejects_like(st, m->rejects, one->parsed.message_id, copy.email, e)) &&
           (out->email = copy.email);
}

static bool parse_and_add(struct store *st, const struct store_new *m,
                          const struct writer_mailbox *mailbox, struct store_added *out,
                          struct err *e)
{
    struct add_one one = {.arena = ARENA_LIMIT(2 * MIME_MEMORY), .m = m};
    bool ok = parse_message(st, &one.arena, m, &one.parsed, e) && add_email(st, &one, mailbox, out, e);

    arena_fini(&one.arena);
    return ok;
}

static bool remove_old(struct store *st, const struct add_job *j, struct err *e)
{
    return remove_placement(st, j->old_mailbox, j->old_uid, e) ||
           (e->kind == ERR_NONE && fail(e, ERR_CONFLICT, "the message is gone"));
}

static bool add_job(struct store *st, void *ctx, struct err *e)
{
    struct add_job *j = ctx;
    struct writer_mailbox mailbox;
    struct err missing = {0};

    if (!writer_find_mailbox(st, j->mailbox, &mailbox, &missing)) {
        if (missing.kind != ERR_NOT_FOUND || !j->create) {
            *e = missing;
            return false;
        }
        if (!writer_create_mailbox(st, j->mailbox, (struct str){0}, &mailbox, e))
            return false;
    }
    if (j->is_reject &&
        (!reject_wanted(st, mailbox.id, j->keep_all, j->parsed->parsed.message_id,
                        j->messages->origin->digest, j->stored, e) || !*j->stored))
        return e->kind == ERR_NONE;
    if (j->parsed)
        return add_email(st, j->parsed, &mailbox, &j->out[0], e) &&
               (!j->old_uid || remove_old(st, j, e));
    for (size_t i = 0; i < j->n; i++)
        if (!parse_and_add(st, &j->messages[i], &mailbox, &j->out[i], e))
            return false;
    return true;
}

static bool run_add(struct store *st, struct add_job *j, struct err *e)
{
    struct add_one one = {.arena = ARENA_LIMIT(2 * MIME_MEMORY), .m = j->messages};
    bool ok = true;

    // One message is parsed while others write. What many come to would be memory in proportion.
    if (j->n == 1) {
        j->parsed = &one;
        ok = parse_message(st, &one.arena, j->messages, &one.parsed, e);
    }
    ok = ok && store_write(st, add_job, j, e);
    arena_fini(&one.arena);
    return ok;
}

bool store_add(struct store *st, struct str mailbox, bool create, const struct store_new *messages,
               size_t n, struct store_added *out, struct err *e)
{
    return run_add(st, &(struct add_job){.mailbox = mailbox, .create = create,
                                         .messages = messages, .n = n, .out = out}, e);
}

bool store_replace(struct store *st, uint64_t old_mailbox, uint32_t old_uid, struct str mailbox,
                   const struct store_new *message, struct store_added *out, struct err *e)
{
    return run_add(st, &(struct add_job){.mailbox = mailbox, .messages = message, .n = 1,
                                         .old_mailbox = old_mailbox, .old_uid = old_uid,
                                         .out = out}, e);
}

bool store_reject(struct store *st, struct str mailbox, bool keep_all,
                  const struct store_new *message, bool *stored, struct err *e)
{
    struct store_added added;

    return run_add(st, &(struct add_job){.mailbox = mailbox, .create = true, .messages = message,
                                         .n = 1, .is_reject = true, .keep_all = keep_all,
                                         .stored = stored, .out = &added}, e);
}
