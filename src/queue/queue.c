#include "queue/queue_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "db/sql.h"
#include "os/clock.h"
#include "os/file.h"
#include "text/date.h"

enum {
    FIRST_WAIT_S = 1, // of an account of ours; doubled each time
    LAST_WAIT_S = 3600,
    FIRST_LONG_WAIT_S = 450, // doubled as well
    LAST_LONG_WAIT_S = 8 * 3600,
};
static const int64_t NEVER_UNIX = 253402300799; // the last second of the year 9999

struct queue *queue_open(struct err *e)
{
    struct queue *q = heap_alloc(sizeof *q);

    q->db = db_open("queue.db", sql_queue, sql_queue_count, e);
    if (!q->db) {
        free(q);
        return NULL;
    }
    return q;
}

void queue_close(struct queue *q)
{
    if (q) {
        if (q->has_changes)
            db_rollback(q->db);
        db_close(q->db);
        free(q);
    }
}

// Opens the transaction with its first change.
static bool begin_change(struct queue *q, struct err *e)
{
    if (!q->has_changes && !db_begin(q->db, e))
        return false;
    q->has_changes = true;
    return db_savepoint(q->db, e);
}

static bool end_change(struct queue *q, bool is_ok, struct err *e)
{
    if (!is_ok)
        db_undo(q->db);
    return is_ok && db_release(q->db, e);
}

bool queue_commit(struct queue *q, struct err *e)
{
    if (!q->has_changes)
        return true;
    q->has_changes = false;
    return db_commit(q->db, e);
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

static bool insert(struct queue *q, const struct queue_new *m, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db,
                             "INSERT INTO message (account, reverse_path, queued_unix, size, "
                             "is_8bit, is_smtputf8, require_tls, is_binary, "
                             "future_release) VALUES (?,?,?,?,?,?,?,?,?)", e);
    int64_t now = os_now_unix();
    uint64_t message;

    if (!s || !queue_limits_take(q, m, now, e))
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
    if (!stmt_run(s, e))
        return false;
    message = db_last_id(q->db);
    for (size_t i = 0; i < m->n_recipients; i++) {
        const struct queue_recipient *to = &m->recipients[i];
        AUTO_STMT entry = db_prepare(q->db, "INSERT INTO entry (message, recipient, "
                                            "next_attempt_unix, delivery_id, last_error) "
                                            "VALUES (?,?,?,?,?)", e);

        if (!entry)
            return false;
        stmt_bind_u64(entry, 1, message);
        stmt_bind_str(entry, 2, to->address);
        stmt_bind_i64(entry, 3, to->refused.n                ? NEVER_UNIX
                                : m->hold_until_unix > now ? m->hold_until_unix
                                                           : now);
        stmt_bind_str(entry, 4, to->delivery_id);
        stmt_bind_str(entry, 5, to->refused);
        if (!stmt_run(entry, e))
            return false;
    }
    return put_bytes(q, message, m, e);
}

bool queue_add(struct queue *q, const struct queue_new *m, struct err *e)
{
    return begin_change(q, e) && end_change(q, insert(q, m, e), e);
}

bool queue_due(struct queue *q, struct arena *a, struct queue_entry *out, size_t max, size_t *n,
               struct err *e)
{
    AUTO_STMT s = db_prepare(q->db,
                             "SELECT e.id, e.message, e.recipient, m.reverse_path, m.queued_unix, "
                             "m.size, e.attempts, m.account, e.delivery_id "
                             "FROM entry e JOIN message m ON m.id = e.message "
                             "WHERE e.next_attempt_unix <= ? ORDER BY e.next_attempt_unix, e.id "
                             "LIMIT ?", e);

    *n = 0;
    if (!s)
        return false;
    stmt_bind_i64(s, 1, os_now_unix());
    stmt_bind_u64(s, 2, max);
    while (*n < max && stmt_step(s, e))
        out[(*n)++] = (struct queue_entry){.id = stmt_u64(s, 0),
                                           .message = stmt_u64(s, 1),
                                           .recipient = arena_dup(a, stmt_str(s, 2)),
                                           .reverse_path = arena_dup(a, stmt_str(s, 3)),
                                           .queued_unix = stmt_i64(s, 4),
                                           .size = stmt_u64(s, 5),
                                           .attempts = (uint32_t)stmt_u64(s, 6),
                                           .account = arena_dup(a, stmt_str(s, 7)),
                                           .delivery_id = arena_dup(a, stmt_str(s, 8))};
    return e->kind == ERR_NONE;
}

int64_t queue_wait_s(enum queue_failure how, uint32_t attempts)
{
    bool is_long = how == QUEUE_FAILED_FOR_GOOD;
    int64_t wait_s = (int64_t)(is_long ? FIRST_LONG_WAIT_S : FIRST_WAIT_S)
                     << (attempts < 12 ? attempts : 12);
    int64_t last_s = is_long ? LAST_LONG_WAIT_S : LAST_WAIT_S;

    return wait_s < last_s ? wait_s : last_s;
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

    return chunk_read(q->db, message, 0, INT64_MAX, write_piece, &f, e) && e->kind == ERR_NONE;
}

static bool run_with_id(struct queue *q, const char *sql, uint64_t id, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, sql, e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    return stmt_run(s, e);
}

static bool remove_entry(struct queue *q, const struct queue_entry *entry, struct err *e)
{
    bool is_last;

    if (!run_with_id(q, "DELETE FROM entry WHERE id = ?", entry->id, e))
        return false;
    {
        AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM entry WHERE message = ? LIMIT 1", e);

        if (!s)
            return false;
        stmt_bind_u64(s, 1, entry->message);
        is_last = !stmt_step(s, e);
    }
    if (e->kind)
        return false;
    return !is_last || (chunk_drop(q->db, entry->message, e) &&
                        run_with_id(q, "DELETE FROM message WHERE id = ?", entry->message, e));
}

bool queue_done(struct queue *q, const struct queue_entry *entry, struct err *e)
{
    return begin_change(q, e) && end_change(q, remove_entry(q, entry, e), e);
}

static bool note_attempt(struct queue *q, uint64_t entry, struct str why,
                         int64_t next_attempt_unix, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET attempts = attempts + 1, "
                                    "last_attempt_unix = ?2, last_error = ?3, "
                                    "next_attempt_unix = ?4 WHERE id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry);
    stmt_bind_i64(s, 2, os_now_unix());
    stmt_bind_str(s, 3, why);
    stmt_bind_i64(s, 4, next_attempt_unix);
    return stmt_run(s, e);
}

bool queue_retry(struct queue *q, uint64_t entry, struct str why, int64_t next_attempt_unix,
                 struct err *e)
{
    return begin_change(q, e) &&
           end_change(q, note_attempt(q, entry, why, next_attempt_unix, e), e);
}

// "1h5m3s", as upstream prints durations.
static void put_duration(struct buf *out, int64_t seconds)
{
    if (seconds < 0) {
        BUF_PUT(out, "-");
        seconds = -seconds;
    }
    if (seconds >= 3600)
        buf_printf(out, "%lldh", (long long)(seconds / 3600));
    if (seconds >= 60)
        buf_printf(out, "%lldm", (long long)(seconds % 3600 / 60));
    buf_printf(out, "%llds", (long long)(seconds % 60));
}

// Text of others on a terminal: control characters would act there.
static void put_plain(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(out, (unsigned char)s.p[i] < 32 || s.p[i] == 127 ? '?' : s.p[i]);
}

static void put_entry(struct buf *out, struct stmt *s)
{
    int64_t now = os_now_unix();

    buf_printf(out, "%5llu ", (unsigned long long)stmt_u64(s, 0));
    date_put_rfc3339(out, stmt_i64(s, 1));
    BUF_PUT(out, " from:<");
    put_plain(out, stmt_str(s, 2));
    BUF_PUT(out, "> to:<");
    put_plain(out, stmt_str(s, 3));
    BUF_PUT(out, "> next ");
    if (stmt_i64(s, 4) == NEVER_UNIX)
        BUF_PUT(out, "never");
    else
        put_duration(out, stmt_i64(s, 4) - now);
    BUF_PUT(out, " last ");
    if (stmt_is_null(s, 5))
        BUF_PUT(out, "-");
    else
        put_duration(out, now - stmt_i64(s, 5));
    BUF_PUT(out, " error \"");
    put_plain(out, stmt_str(s, 6));
    BUF_PUT(out, "\"");
    if (stmt_str(s, 7).n) {
        BUF_PUT(out, " futurerelease \"");
        put_plain(out, stmt_str(s, 7));
        BUF_PUT(out, "\"");
    }
    BUF_PUT(out, "\n");
}

bool queue_list(struct queue *q, uint64_t after, struct buf *out, uint64_t *last, struct err *e)
{
    enum { LONGEST_LINE = 4096 };
    AUTO_STMT s = db_prepare(q->db,
                             "SELECT e.id, m.queued_unix, m.reverse_path, e.recipient, "
                             "e.next_attempt_unix, e.last_attempt_unix, e.last_error, "
                             "m.future_release FROM entry e "
                             "JOIN message m ON m.id = e.message WHERE e.id > ? ORDER BY e.id", e);

    *last = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, after);
    while (stmt_step(s, e)) {
        put_entry(out, s);
        if (out->n + LONGEST_LINE > out->limit) {
            *last = stmt_u64(s, 0);
            break;
        }
    }
    return e->kind == ERR_NONE;
}
