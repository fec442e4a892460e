#include "role/child_fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

enum {
    START_MS = 1800000000,
    MOST_SAID = 2000, // messages, after which the other side is gone
    MOST_WRITTEN = 4 << 20,
};

// How an answer comes, by one byte of the input.
enum { ANSWER_CLOSED = 255, ANSWER_TIMEOUT = 254, ANSWER_BAD = 253, ANSWER_OTHER = 252, ANSWER_WITHOUT_FD = 251 };

static struct child_fuzz *now;
static unsigned n_said;
static struct str left; // of what was read from a stream and did not fit

static int ready_fd(void)
{
    int fd = eventfd(1, EFD_CLOEXEC);

    if (fd < 0)
        die("no descriptor");
    return fd;
}

void child_fuzz_begin(struct child_fuzz *f, const uint8_t *data, size_t size)
{
    f->source.in = cur_of(str_at(data, size));
    f->source.a = (struct arena)ARENA_LIMIT(1 << 20);
    f->out = (struct buf)BUF_LIMIT(MOST_WRITTEN);
    now = f;
    n_said = 0;
    left = (struct str){0};
    log_set_fd(-1);
    os_clock_set_for_test(START_MS);
}

void child_fuzz_end(struct child_fuzz *f)
{
    arena_fini(&f->source.a);
    buf_fini(&f->out);
}

struct channel child_fuzz_channel(enum role self, enum role peer)
{
    return (struct channel){ready_fd(), self, peer};
}

struct stream child_fuzz_stream(void)
{
    return (struct stream){.fd = ready_fd()};
}

static bool is_over(void)
{
    return !cur_left(&now->source.in);
}

/* --- instead of ipc/channel.c ------------------------------------------------------------------------- */

void channel_close(struct channel *ch)
{
    fd_close(&ch->fd);
}

// Channels and streams are ready always; files are what the input says.
static int descriptor_for(enum ipc_type type)
{
    return type == IPC_granted || type == IPC_dialed || type == IPC_starttls_done ? ready_fd()
                                                                                 : source_descriptor(&now->source);
}

static bool make(struct packet *p, enum ipc_type type, unsigned how)
{
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES - 1);
    const struct ipc_rule *rule = ipc_rule_of(type);

    source_message(&now->source, type, &body);
    if (body.full)
        return false;
    if (body.n)
        memcpy(p->bytes, body.p, body.n);
    p->type = type;
    p->body = str_at(p->bytes, body.n);
    while (p->n_fds < (how == ANSWER_WITHOUT_FD ? rule->min_fds : rule->max_fds))
        p->fds[p->n_fds++] = descriptor_for(type);
    return true;
}

// wanted: IPC_none, or what an honest peer would say.
static enum channel_result receive(struct channel *ch, enum ipc_type wanted, struct packet *p, int timeout_ms, struct err *e)
{
    unsigned how;

    packet_close_fds(p);
    if (ch->fd < 0 || is_over())
        return CHANNEL_CLOSED;
    how = source_byte(&now->source);
    if (how == ANSWER_CLOSED)
        return CHANNEL_CLOSED;
    if (how == ANSWER_TIMEOUT) {
        os_sleep_ms(timeout_ms > 0 ? timeout_ms : 0);
        return CHANNEL_TIMEOUT;
    }
    if (how == ANSWER_OTHER || !wanted)
        wanted = source_type(&now->source, ch->peer, ch->self);
    if (wanted && how != ANSWER_BAD && make(p, wanted, how))
        return CHANNEL_MESSAGE;
    (void)fail(e, ERR_SYNTAX, "malformed");
    return CHANNEL_BAD;
}

enum channel_result channel_receive(struct channel *ch, struct packet *p, int timeout_ms, struct err *e)
{
    return receive(ch, IPC_none, p, timeout_ms, e);
}

bool channel_expect(struct channel *ch, enum ipc_type type, struct packet *p, int timeout_ms, struct err *e)
{
    const struct ipc_rule *rule = ipc_rule_of(type);

    if (!(rule->from & ROLE_BIT(ch->peer)) || !(rule->to & ROLE_BIT(ch->self)))
        die("%s waits for %s of %s, who may not say that", role_name(ch->self), rule->name, role_name(ch->peer));
    switch (receive(ch, type, p, timeout_ms, e)) {
    case CHANNEL_MESSAGE:
        return p->type == type || fail(e, ERR_BUG, "answered with another message");
    case CHANNEL_CLOSED:
        return fail(e, ERR_TEMPORARY, "not there");
    case CHANNEL_TIMEOUT:
        return fail(e, ERR_TEMPORARY, "no answer in time");
    case CHANNEL_BAD:
        break;
    }
    return false;
}

bool channel_send(struct channel *ch, enum ipc_type type, struct str body, const int *fds, size_t n_fds, struct err *e)
{
    const struct ipc_rule *rule = ipc_rule_of(type);
    AUTO_BUF again = BUF_LIMIT(IPC_MAX_BYTES);

    if (!rule || !(rule->from & ROLE_BIT(ch->self)) || !(rule->to & ROLE_BIT(ch->peer)) || n_fds < rule->min_fds ||
        n_fds > rule->max_fds)
        die("%s says message %u to %s", role_name(ch->self), type, role_name(ch->peer));
    if (body.n > IPC_MAX_BYTES - 1)
        return fail(e, ERR_LIMIT, "too long");
    if (!rule->recode(body, &again, e) || !str_eq(body, buf_str(&again)))
        die("%s says message %s that does not decode", role_name(ch->self), rule->name);
    for (size_t i = 0; i < n_fds; i++)
        if (type != IPC_hand_over && !os_memfile_is_sealed(fds[i]))
            die("%s passes a file on that is open", role_name(ch->self));
    if (ch->fd < 0 || n_said++ > MOST_SAID)
        return fail(e, ERR_TEMPORARY, "it is gone");
    if (body.n >= 8) { // answers begin with the same number
        now->source.last_request = 0;
        for (size_t i = 8; i-- > 0;)
            now->source.last_request = now->source.last_request << 8 | (unsigned char)body.p[i];
    }
    return true;
}

bool channel_has_room(const struct channel *ch)
{
    return ch->fd >= 0;
}

void channel_say_no_more(struct channel *ch)
{
    (void)ch;
}

bool channel_has_ended(const struct channel *ch)
{
    return ch->fd < 0 || is_over();
}

/* --- instead of crypto/stream.c ------------------------------------------------------------------------ */

// How reading goes on, by one byte of the input.
enum { READ_END = 255, READ_TIMEOUT = 254, READ_FAILED = 253, READ_STOP = 252 };

bool stream_open(struct stream *s, int fd, struct err *e)
{
    *s = (struct stream){.fd = fd};
    return fd >= 0 || fail(e, ERR_BUG, "no descriptor");
}

void stream_close(struct stream *s)
{
    fd_close(&s->fd);
    s->tls = NULL;
}

enum stream_event stream_wait(const struct stream *s, int other, int timeout_ms)
{
    struct cur at = now->source.in;
    int next = cur_next(&at);

    (void)s;
    if (next == READ_STOP && other >= 0) {
        now->source.in = at;
        return STREAM_OTHER;
    }
    if (next == READ_TIMEOUT) {
        now->source.in = at;
        os_sleep_ms(timeout_ms > 0 ? timeout_ms : 0);
        return STREAM_TIMEOUT;
    }
    return STREAM_READY;
}

enum stream_event stream_wait_end(const struct stream *s, int other, int timeout_ms)
{
    (void)s, (void)other;
    if (is_over())
        return STREAM_READY;
    os_sleep_ms(timeout_ms > 0 ? timeout_ms : 0);
    return STREAM_TIMEOUT;
}

static bool read_some(char *p, size_t n, int timeout_ms, size_t *got, struct err *e)
{
    struct source *from = &now->source, words = *from;
    struct cur at = from->in;

    *got = 0;
    if (!left.n && !is_over()) {
        switch (cur_next(&at)) {
        case READ_END:
            from->in = at;
            return true;
        case READ_TIMEOUT:
            from->in = at;
            os_sleep_ms(timeout_ms > 0 ? timeout_ms : 0);
            return fail(e, ERR_TEMPORARY, "timeout");
        case READ_FAILED:
            from->in = at;
            return fail(e, ERR_TEMPORARY, "gone");
        default:
            words.words = now->lines;
            words.n_words = now->n_lines;
            left = source_text(&words, 0);
            from->in = words.in;
            from->a = words.a;
            break;
        }
    }
    *got = left.n < n ? left.n : n;
    if (*got)
        memcpy(p, left.p, *got);
    left = str_from(left, *got);
    return true;
}

bool stream_read(struct stream *s, char *p, size_t n, int timeout_ms, size_t *got, struct err *e)
{
    *got = 0;
    if (s->fd < 0)
        die("a stream is read that is closed");
    do
        if (!read_some(p, n, timeout_ms, got, e))
            return false;
    while (!*got && !is_over() && *now->source.in.p == 0); // an empty text is not the end
    return true;
}

bool stream_write(struct stream *s, struct str bytes, int timeout_ms, struct err *e)
{
    (void)timeout_ms;
    if (s->fd < 0)
        die("a stream is written to that is closed");
    buf_put(&now->out, bytes);
    return !now->out.full || fail(e, ERR_TEMPORARY, "gone");
}

enum tls_result stream_try_read(struct stream *s, char *p, size_t n, size_t *got, struct err *e)
{
    if (is_over() && !left.n)
        return TLS_CLOSED;
    if (!stream_read(s, p, n, 0, got, e))
        return TLS_FAILED;
    return *got ? TLS_DONE : TLS_WANT_READ;
}

enum tls_result stream_try_write(struct stream *s, struct str bytes, size_t *done, struct err *e)
{
    *done = bytes.n;
    return stream_write(s, bytes, 0, e) ? TLS_DONE : TLS_CLOSED;
}

bool stream_start_tls(struct stream *s, struct tls_server *server, int timeout_ms, struct err *e)
{
    static char tls;

    (void)server, (void)timeout_ms;
    if (is_over() || source_byte(&now->source) >= 200)
        return fail(e, ERR_TEMPORARY, "no handshake");
    s->tls = (struct tls *)&tls;
    return true;
}

bool stream_connect_tls(struct stream *s, struct tls_client *client, const struct tls_target *target, int timeout_ms,
                        struct err *e)
{
    (void)client, (void)target;
    return stream_start_tls(s, NULL, timeout_ms, e);
}

void stream_compress(struct stream *s, struct str unread)
{
    (void)s, (void)unread;
}

bool stream_has_input(struct stream *s)
{
    (void)s;
    return left.n > 0;
}

void stream_rest(struct stream *s)
{
    (void)s;
}

/* --- instead of crypto/tls.c and crypto/tls_client.c ----------------------------------------------------- */

struct str tls_version(const struct tls *t)
{
    return t ? STR("TLS1.3") : STR("");
}

struct str tls_cipher(const struct tls *t)
{
    return t ? STR("TLS_AES_128_GCM_SHA256") : STR("");
}

bool tls_binding(const struct tls *t, struct str *type, unsigned char data[TLS_MAX_BINDING], size_t *n)
{
    (void)t;
    *type = STR("tls-exporter");
    *n = 32;
    memset(data, 'b', *n);
    return true;
}

bool tls_has_pending(const struct tls *t)
{
    return t && left.n;
}

void tls_end_put(const struct tls *t, struct buf *out)
{
    (void)t;
    BUF_PUT(out, "it ended");
}

void tls_end_put_label(const struct tls *t, struct buf *out)
{
    (void)t;
    BUF_PUT(out, "ended");
}

bool tls_is_refused(const struct tls *t)
{
    (void)t;
    return false;
}

static enum tls_worth worth(struct err *e)
{
    unsigned byte = source_byte(&now->source);

    if (byte < 128)
        return TLS_VERIFIED;
    (void)fail(e, ERR_DENIED, "it is another's");
    return (enum tls_worth)(byte % (TLS_INVALID + 1));
}

enum tls_worth tls_verify_roots(const struct tls_client *c, const struct tls *t, struct str name, struct err *e)
{
    (void)c, (void)t, (void)name;
    return worth(e);
}

enum tls_worth tls_verify_dane(const struct tls *t, struct err *e)
{
    (void)t;
    return worth(e);
}
