/*
 * What a message from outside says in our name is taken out of it (RFC 8601 5, policy/claims.h).
 */
#include <unistd.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/claims.h"
#include "role/session/smtp.h"

enum { PIECE = 64 * 1024 };

static bool copy(int from, uint64_t at, uint64_t end, int to, char piece[PIECE], struct err *e)
{
    while (at < end) {
        ssize_t n = pread(from, piece, end - at < PIECE ? (size_t)(end - at) : PIECE, (off_t)at);

        if (n <= 0)
            return fail_errno(e, "reading the message back");
        if (!os_write_all(to, str_at(piece, (size_t)n), e))
            return false;
        at += (uint64_t)n;
    }
    return true;
}

static bool copy_without(const struct smtp_message *m, const struct claim *claims, size_t n, int to,
                         struct arena *a, struct err *e)
{
    char *piece = arena_alloc(a, PIECE);
    uint64_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (!copy(m->fd, at, claims[i].start, to, piece, e))
            return false;
        at = claims[i].start + claims[i].n;
    }
    return copy(m->fd, at, m->size, to, piece, e) && os_memfile_seal(to, e);
}

static void forget(struct smtp_session *c, struct smtp_message *m, const struct claim *claims, size_t n)
{
    AUTO_BUF header = BUF_LIMIT(SMTP_MAX_HEADER);
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        buf_put(&header, str_sub(m->header, at, claims[i].start - at));
        at = claims[i].start + claims[i].n;
        m->size -= claims[i].n;
        m->body_start -= claims[i].n;
    }
    buf_put(&header, str_from(m->header, at));
    m->header = arena_dup(&c->a, buf_str(&header));
}

bool smtp_drop_claims(struct smtp_session *c, struct smtp_message *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20); // a claim has a dozen bytes at least
    struct claim *claims;
    size_t n = claims_find(&a, m->header, c->s->port->hostname, &claims);
    AUTO_FD fd = -1;

    if (!n)
        return true;
    fd = os_memfile("message", e);
    if (fd < 0 || !copy_without(m, claims, n, fd, &a, e))
        return false;
    LOG(LOG_INFO, smtp_package(c), "fields in our name are removed", LOG_N("fields", n));
    forget(c, m, claims, n);
    fd_close(&c->spool.fd);
    c->spool.fd = m->fd = fd_take(&fd);
    return true;
}
