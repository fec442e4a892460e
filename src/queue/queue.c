#include "queue/queue_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "db/sql.h"
#include "os/clock.h"
#include "os/file.h"
#include "text/idna.h"

// A message is written once and read once: what the file has of a long queue is of no use in memory.
enum { KEPT_KIB = 2048 };

struct queue *queue_open(struct err *e)
{
    struct queue *q = heap_alloc(sizeof *q);

    q->db = db_open("queue.db", sql_queue, sql_queue_count, e);
    if (!q->db || !db_limit_memory(q->db, KEPT_KIB, e) || !hold_count_begin(q, e)) {
        db_close(q->db);
        free(q);
        return NULL;
    }
    q->schedule = schedule_new();
    return q;
}

void queue_close(struct queue *q)
{
    if (q) {
        if (q->has_changes)
            db_rollback(q->db);
        db_close(q->db);
        schedule_free(q->schedule);
        free(q);
    }
}

bool queue_change_begin(struct queue *q, struct err *e)
{
    if (!q->has_changes && !db_begin(q->db, e))
        return false;
    q->has_changes = true;
    return db_savepoint(q->db, e);
}

bool queue_change_end(struct queue *q, bool is_ok, struct err *e)
{
    if (!is_ok)
        db_undo(q->db);
    return is_ok && db_release(q->db, e);
}

bool queue_has_new(const struct queue *q)
{
    return q->has_new;
}

bool queue_commit(struct queue *q, struct err *e)
{
    if (!q->has_changes)
        return true;
    q->has_changes = q->has_new = false;
    return db_commit(q->db, e);
}

void queue_set_hostname(struct queue *q, struct str hostname)
{
    q->hostname = hostname;
}

bool queue_read_file(const struct queue_new *m, size_t max, struct buf *out, struct err *e)
{
    for (uint64_t at = 0; at < m->size && out->n < max;) {
        size_t want = max - out->n < m->size - at ? max - out->n : (size_t)(m->size - at);
        ssize_t got = pread(m->fd, buf_room(out, want), want, (off_t)at);

        if (got <= 0)
            return got < 0 ? fail_errno(e, "reading the message")
                           : fail(e, ERR_SYNTAX, "the message is shorter than was said");
        buf_claim(out, (size_t)got);
        at += (uint64_t)got;
    }
    return true;
}

// The prefix and then the file, in chunks.
static bool put_bytes(struct queue *q, uint64_t message, const struct queue_new *m, struct err *e)
{
    AUTO_BUF b = BUF_LIMIT(2 * CHUNK_BYTES);
    unsigned number = 0;
    uint64_t at = 0;

    buf_put(&b, m->prefix);
    while (at < m->size || b.n) {
        size_t want = b.n < CHUNK_BYTES ? CHUNK_BYTES - b.n : 0;
        ssize_t got = 0;

        if (want > m->size - at)
            want = (size_t)(m->size - at);
        if (want) {
            got = pread(m->fd, buf_room(&b, want), want, (off_t)at);
            if (got <= 0)
                return got < 0 ? fail_errno(e, "reading the message")
                               : fail(e, ERR_SYNTAX, "the message is shorter than was said");
            buf_claim(&b, (size_t)got);
            at += (uint64_t)got;
        }
        if (b.n >= CHUNK_BYTES || at == m->size) {
            size_t n = b.n < CHUNK_BYTES ? b.n : CHUNK_BYTES;

            if (!chunk_put(q->db, message, number++, str_at(b.p, n), e))
                return false;
            buf_drop(&b, n);
        }
    }
    return true;
}

struct str queue_domain_of(struct arena *a, struct str address)
{
    ptrdiff_t at = str_find_last(address, '@');
    struct str domain = at < 0 ? STR("") : str_from(address, (size_t)at + 1), ascii;

    return domain_to_ascii(a, domain, &ascii, NULL) ? ascii : arena_lower(a, domain);
}

static bool insert_entry(struct queue *q, uint64_t message, const struct queue_new *m,
                         const struct queue_recipient *to, int64_t now, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "INSERT INTO entry (message, recipient, next_attempt_unix, "
                                    "delivery_id, domain, require_tls, notify, orcpt, is_held, "
                                    "max_attempts) VALUES (?,?,?,?,?,?,?,?,?,?)", e);

    struct str domain = queue_domain_of(&a, to->address);
    bool is_held;

    if (!s || !hold_is_due(q, m, domain, &is_held, e))
        return false;
    stmt_bind_u64(s, 1, message);
    stmt_bind_str(s, 2, to->address);
    stmt_bind_i64(s, 3, m->hold_until_unix > now ? m->hold_until_unix : now);
    stmt_bind_str(s, 4, to->delivery_id);
    stmt_bind_str(s, 5, domain);
    stmt_bind_u64(s, 6, m->require_tls);
    stmt_bind_u64(s, 7, to->notify);
    stmt_bind_str(s, 8, to->orcpt);
    stmt_bind_u64(s, 9, is_held);
    stmt_bind_u64(s, 10, m->max_attempts);
    return stmt_run(s, e);
}

static bool insert_message(struct queue *q, const struct queue_new *m, size_t n, int64_t now,
                           struct err *e)
{
    AUTO_STMT s = db_prepare(q->db,
                             "INSERT INTO message (account, reverse_path, queued_unix, size, "
                             "is_8bit, is_smtputf8, require_tls, is_binary, future_release, origin, "
                             "entries, is_sender_real, message_id, ret, envid, keep_retired_s, "
                             "has_own_path) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, m->account);
    stmt_bind_str(s, 2, m->reverse_path);
    stmt_bind_i64(s, 3, now);
    stmt_bind_u64(s, 4, m->prefix.n + m->size);
    stmt_bind_u64(s, 5, m->is_8bit);
    stmt_bind_u64(s, 6, m->is_smtputf8);
    stmt_bind_u64(s, 7, m->require_tls);
    stmt_bind_u64(s, 8, m->is_binary);
    stmt_bind_str(s, 9, m->future_release);
    stmt_bind_u64(s, 10, m->origin);
    stmt_bind_u64(s, 11, n);
    stmt_bind_u64(s, 12, m->is_sender_real);
    stmt_bind_str(s, 13, m->message_id);
    stmt_bind_u64(s, 14, m->ret);
    stmt_bind_str(s, 15, m->envid);
    stmt_bind_u64(s, 16, m->keep_retired_s);
    stmt_bind_u64(s, 17, m->has_own_path);
    return stmt_run(s, e);
}

// The message without its bytes, unless none of its recipients is to be tried: then id is left alone.
static bool insert_envelope(struct queue *q, const struct queue_new *m, uint64_t *id, struct err *e)
{
    int64_t now = os_now_unix();
    size_t n = 0;

    for (size_t i = 0; i < m->n_recipients; i++)
        n += !m->recipients[i].refused_code;
    if (!n)
        return true;
    if (!insert_message(q, m, n, now, e))
        return false;
    q->has_new = true;
    *id = db_last_id(q->db);
    for (size_t i = 0; i < m->n_recipients; i++)
        if (!m->recipients[i].refused_code && !insert_entry(q, *id, m, &m->recipients[i], now, e))
            return false;
    return true;
}

bool queue_insert(struct queue *q, const struct queue_new *m, struct err *e)
{
    uint64_t id = 0;

    return insert_envelope(q, m, &id, e) && (!id || put_bytes(q, id, m, e));
}

static bool set_body(struct queue *q, uint64_t message, uint64_t body, struct err *e)
{
    return DB_RUN(q->db, "UPDATE message SET body = ?2 WHERE id = ?1", e, message, body);
}

// A message of its own for each recipient that has a reverse path of its own; its bytes are those of the first.
static bool insert_all(struct queue *q, const struct queue_new *m, struct err *e)
{
    uint64_t first = 0;

    if (!m->reverse_paths)
        return queue_insert(q, m, e);
    for (size_t i = 0; i < m->n_recipients; i++) {
        struct queue_new one = *m;
        uint64_t id = 0;

        one.reverse_path = m->reverse_paths[i];
        one.recipients = &m->recipients[i];
        one.n_recipients = 1;
        if (!insert_envelope(q, &one, &id, e))
            return false;
        if (!id)
            continue;
        if (!first && !put_bytes(q, id, m, e))
            return false;
        first = first ? first : id;
        if (!set_body(q, id, first, e))
            return false;
    }
    return true;
}

bool queue_body_of(struct queue *q, uint64_t message, uint64_t *body, bool *is_shared, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT body FROM message WHERE id = ?", e);

    *body = message;
    *is_shared = false;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, message);
    if (stmt_step(s, e) && stmt_u64(s, 0)) {
        *body = stmt_u64(s, 0);
        *is_shared = true;
    }
    return !e->kind;
}

// Whoever gives it did not hear that it was there, and gives it again.
static bool is_new(struct queue *q, const struct queue_new *m, bool *out, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "INSERT OR IGNORE INTO named (name, queued_unix) VALUES (?,?)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, m->name);
    stmt_bind_i64(s, 2, os_now_unix());
    if (!stmt_run(s, e))
        return false;
    *out = db_changes(q->db) > 0;
    return true;
}

static bool add(struct queue *q, const struct queue_new *m, struct err *e)
{
    bool is_first = true;

    if (m->name.n && (!is_new(q, m, &is_first, e) || !is_first))
        return !e->kind;
    return queue_limits_take(q, m, os_now_unix(), e) && insert_all(q, m, e) &&
           report_put_refused(q, m, e);
}

bool queue_path_is_used(struct queue *q, struct str account, struct str path, bool *out, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM message WHERE has_own_path AND account = ?1 AND "
                                    "reverse_path = ?2 COLLATE NOCASE UNION ALL "
                                    "SELECT 1 FROM retired WHERE account = ?1 AND "
                                    "reverse_path = ?2 COLLATE NOCASE", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, path);
    *out = stmt_step(s, e);
    return !e->kind;
}

bool queue_add(struct queue *q, const struct queue_new *m, struct err *e)
{
    return queue_change_begin(q, e) && queue_change_end(q, add(q, m, e), e);
}

struct file_ctx {
    int fd;
    struct err *e;
};

static bool write_piece(void *ctx, struct str bytes)
{
    struct file_ctx *f = ctx;

    return os_write_all(f->fd, bytes, f->e);
}

bool queue_read(struct queue *q, uint64_t message, int fd, struct err *e)
{
    struct file_ctx f = {fd, e};
    uint64_t body;
    bool is_shared;

    return queue_body_of(q, message, &body, &is_shared, e) && chunk_read(q->db, body, 0, INT64_MAX, write_piece, &f, e) && e->kind == ERR_NONE;
}

static bool buffer_piece(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

bool queue_read_part(struct queue *q, uint64_t message, uint64_t offset, size_t max, struct buf *out,
                     struct err *e)
{
    uint64_t body;
    bool is_shared;

    return queue_body_of(q, message, &body, &is_shared, e) &&
           chunk_read(q->db, body, offset, max, buffer_piece, out, e) && e->kind == ERR_NONE;
}
