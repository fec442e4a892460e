/*
 * A connection of HTTP/2 as the server has it: frames, HPACK, flow control, handlers in their fibers, and time, which passes
 * only where the input says so. The client and the handlers are here. What handlers are given is as good as what
 * HTTP/1.1 gives them, what is sent are frames in an order that a client can follow, nothing is left over, and not more is done
 * for nothing than the limits on floods have it.
 *
 * The first byte: bit 0 frames, else bytes as they are; bit 1 the preface is there already; bits 2 to 4 how much the client
 * takes at a time; bits 5 to 7 how much comes at a time. Of frames: type, flags, stream, length, payload.
 */
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/die.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/fiber.h"
#include "role/web/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    START_MS = 1800000000, // of the clock
    HEAD = 9,              // of a frame, RFC 9113 4.1
    MAX_PAYLOAD = 16384,   // RFC 9113 4.2: what may be sent to everybody
    MOST_FRAMES = 4000,
    MOST_STREAMS = 20000,
    MOST_FOR_NOTHING = 520, // frames that answer something, a minute: MAX_IDLE_FRAMES, and what answers more than one
    WAIT_MS = 5000,
    LONG_BODY = 150 * 1000,
};

// What stands in for a frame's type.
enum { OP_FRAMES = 10, OP_OTHER = OP_FRAMES, OP_TIME, OP_AGAIN, OP_READING, OP_LONG, OP_STOP, OPS };

static int ready_fd, silent_fd; // one that can be read, and written to, always; and one that nothing comes from

struct frame {
    uint8_t type, flags;
    uint32_t stream;
    struct str payload;
};

static struct {
    struct web_conn *conn;
    struct cur in;
    struct buf coming; // that the client has sent
    struct frame last;
    unsigned n_frames, options;
    bool is_deaf;
    size_t piece, takes;
    int64_t began_ms;
    struct buf out; // all that it got
    unsigned n_handlers, n_sources;
} now;


/* --- the client ---------------------------------------------------------------------------------- */

static void put_frame(const struct frame *f)
{
    const char head[HEAD] = {(char)(f->payload.n >> 16), (char)(f->payload.n >> 8), (char)f->payload.n, (char)f->type,
                             (char)f->flags, 0, 0, (char)(f->stream >> 8), (char)f->stream};

    if (now.n_frames++ > MOST_FRAMES)
        return;
    buf_put(&now.coming, str_at(head, sizeof head));
    buf_put(&now.coming, f->payload);
}

static unsigned take_byte(void)
{
    int c = cur_next(&now.in);

    return c < 0 ? 0 : (unsigned)c;
}

static void take_frame(void)
{
    static const char room[65 * 256]; // a little more than may be
    unsigned op = take_byte() % OPS, arg = take_byte(), n;
    struct frame *f = &now.last;

    switch (op) {
    case OP_TIME:
        os_sleep_ms((int64_t)arg * arg * 2); // two minutes at most
        return;
    case OP_AGAIN:
        for (unsigned i = 0; i < 2 * arg; i++)
            put_frame(f);
        return;
    case OP_READING:
        now.is_deaf = arg & 1;
        return;
    case OP_STOP:
        now.conn->monitor.fd = ready_fd;
        return;
    default:
        break;
    }
    f->type = (uint8_t)(op == OP_OTHER ? take_byte() : op == OP_LONG ? NGHTTP2_DATA : op);
    f->flags = (uint8_t)arg;
    f->stream = take_byte();
    n = take_byte();
    if (op == OP_LONG)
        f->payload = str_at(room, 65 * n);
    else
        (void)!cur_take(&now.in, n < cur_left(&now.in) ? n : cur_left(&now.in), &f->payload);
    put_frame(f);
}

// What comes next is there to be read.
static void come(void)
{
    struct str all;

    if (now.options & 1) {
        while (!now.coming.n && cur_left(&now.in)) {
            int64_t before = os_monotonic_ms();

            take_frame();
            if (os_monotonic_ms() != before)
                return;
        }
        return;
    }
    (void)!cur_take(&now.in, cur_left(&now.in), &all);
    buf_put(&now.coming, all);
}

enum tls_result stream_try_read(struct stream *s, char *p, size_t n, size_t *got, struct err *e)
{
    (void)s, (void)e;
    if (!now.coming.n)
        come();
    *got = now.coming.n < n ? now.coming.n : n;
    if (*got > now.piece)
        *got = now.piece;
    if (!*got)
        return cur_left(&now.in) ? TLS_WANT_READ : TLS_CLOSED;
    memcpy(p, now.coming.p, *got);
    buf_drop(&now.coming, *got);
    return TLS_DONE;
}

enum tls_result stream_try_write(struct stream *s, struct str bytes, size_t *done, struct err *e)
{
    (void)s, (void)e;
    *done = now.is_deaf ? 0 : bytes.n < now.takes ? bytes.n : now.takes;
    buf_put(&now.out, str_sub(bytes, 0, *done));
    return *done == bytes.n ? TLS_DONE : TLS_WANT_WRITE;
}

bool tls_has_pending(const struct tls *t)
{
    (void)t;
    return false;
}

struct str tls_version(const struct tls *t)
{
    (void)t;
    return STR("TLS1.3");
}

/* --- the rest of the process ------------------------------------------------------------------------ */

int web_timeout(const struct web_conn *c, int ms)
{
    (void)c;
    return ms;
}

bool web_flush(struct web_conn *c, struct err *e)
{
    bool is_ok = !c->out.full || fail(e, ERR_BUG, "the reply does not fit");

    buf_put(&now.out, buf_str(&c->out));
    buf_reset(&c->out);
    return is_ok;
}

bool client_may_ask(struct web_exchange *x)
{
    if (!str_eq(x->request->raw_path, STR("/limited")))
        return true;
    web_fail(x, 429, STR(""));
    return false;
}

/* --- handlers ------------------------------------------------------------------------------------ */

struct source {
    size_t left;
    bool waits, fails, is_patient;
};

static enum web_got read_source(void *ctx, char *p, size_t n, size_t *got, struct err *e)
{
    struct source *s = ctx;

    *got = 0;
    if (s->waits && !s->is_patient) {
        s->is_patient = true;
        return WEB_WAIT;
    }
    s->is_patient = false;
    if (!s->left && s->fails) {
        (void)fail(e, ERR_TEMPORARY, "gone");
        return WEB_FAILED;
    }
    *got = s->left < n ? s->left : n;
    memset(p, 's', *got);
    s->left -= *got;
    return *got ? WEB_GOT : WEB_END;
}

static void close_source(void *ctx)
{
    struct source *s = ctx;

    if (s->left == SIZE_MAX)
        die("a source is closed twice");
    s->left = SIZE_MAX;
    now.n_sources--;
}

static void answer_from(struct web_exchange *x, size_t n, bool waits, bool fails, int fd)
{
    struct source *s = ARENA_NEW(x->arena, struct source);
    struct web_source source = {s, fd, read_source, close_source};
    struct web_reply r = {.status = 200, .source = &source, .has_length = !fails && n < 1000, .length = n};

    *s = (struct source){.left = n, .waits = waits, .fails = fails};
    now.n_sources++;
    web_field(x, &r, STR("Content-Type"), STR("text/plain"));
    web_reply(x, &r);
}

static void echo(struct web_exchange *x)
{
    struct err e = {0};
    struct str body;

    if (web_body_all(x, WEB_MAX_FORM, &body, &e))
        web_reply_text(x, STR("text/plain"), body);
    else
        web_fail_err(x, &e);
}

static void answer_after_some(struct web_exchange *x)
{
    struct err e = {0};
    char some[100];
    size_t got;

    if (!web_body_read(x, some, sizeof some, &got, &e))
        web_fail_err(x, &e);
    else
        web_fail(x, 404, STR("some of it was read"));
}

static void wait_for_another(struct web_exchange *x)
{
    struct pollfd p = {.fd = silent_fd, .events = POLLIN};

    if (fiber_poll(&p, 1, WAIT_MS) < 0 && !fiber_is_cancelled())
        die("a wait ended, and nothing was there");
    web_fail(x, 504, STR(""));
}

static void check_request(const struct http_request *r)
{
    if (r->version != HTTP_2 || !r->method_name.n || !http_is_token(r->method_name) || str_eq(r->method_name, STR("CONNECT")))
        die("a request without a method");
    if (!str_starts(r->path, STR("/")) || str_find(r->path, 0) >= 0 || str_find_str(r->path, STR("/../")) >= 0 ||
        str_ends(r->path, STR("/..")))
        die("a path that is none: %.*s", STR_FMT(r->path));
    if (!r->host.n || r->fields.n > HTTP_MAX_FIELDS + 2)
        die("a request for no host, or without end");
    for (size_t i = 0; i < r->fields.n; i++) {
        const struct http_field *f = &r->fields.items[i];

        if (!http_is_token(f->name) || !http_is_field_value(f->value) || str_eq_ci(f->name, STR("transfer-encoding")) ||
            str_eq_ci(f->name, STR("connection")) ||
            ((str_eq_ci(f->name, STR("host")) || str_eq_ci(f->name, STR("cookie"))) && http_field_find(&r->fields, f->name) != f))
            die("a field that cannot be: %.*s", STR_FMT(f->name));
    }
}

static void answer(struct web_exchange *x)
{
    const struct http_request *r = x->request;

    switch (r->path.n > 1 ? r->path.p[1] : 0) {
    case 'e':
        echo(x);
        return;
    case 's':
        answer_from(x, r->path.n > 2 ? (unsigned char)r->path.p[2] : LONG_BODY, false, false, -1);
        return;
    case 'w':
        answer_from(x, 5000, true, false, ready_fd);
        return;
    case 'x':
        answer_from(x, 5000, true, false, silent_fd);
        return;
    case 'f':
        answer_from(x, 2000, false, true, -1);
        return;
    case 'n': // nothing
        return;
    case 'r':
        answer_after_some(x);
        return;
    case 'p':
        wait_for_another(x);
        return;
    case 'l':
        web_redirect(x, 301, STR("https://mail.mox.example/"));
        return;
    case '4':
        web_fail(x, 304, STR(""));
        return;
    default:
        web_reply_text(x, STR("text/plain"), r->target);
        return;
    }
}

void dispatch(struct web_exchange *x)
{
    if (++now.n_handlers > FIBERS_MAX)
        die("more handlers than there are fibers");
    check_request(x->request);
    if (client_may_ask(x))
        answer(x);
    now.n_handlers--;
}

/* --- what was sent --------------------------------------------------------------------------------- */

enum { SENT_NOTHING, SENT_HEAD, SENT_END };

static uint32_t number_of(const char *p, unsigned n)
{
    uint32_t v = 0;

    while (n--)
        v = v << 8 | (unsigned char)*p++;
    return v;
}

static void check_sent(struct str out)
{
    static uint8_t streams[MOST_STREAMS];
    unsigned n_for_nothing = 0, minutes = (unsigned)((os_monotonic_ms() - now.began_ms) / 60000);
    bool is_first = true;

    memset(streams, SENT_NOTHING, sizeof streams);
    while (out.n >= HEAD) {
        uint32_t n = number_of(out.p, 3), id = number_of(out.p + 5, 4);
        uint8_t type = (uint8_t)out.p[3], flags = (uint8_t)out.p[4], *stream = id < MOST_STREAMS ? &streams[id] : NULL;

        if (n > MAX_PAYLOAD)
            die("a frame of %u bytes", n);
        if (is_first != (type == NGHTTP2_SETTINGS && !(flags & NGHTTP2_FLAG_ACK)))
            die("settings are not first");
        is_first = false;
        if (out.n - HEAD < n) // the client has gone meanwhile
            return;
        n_for_nothing += type == NGHTTP2_PING || type == NGHTTP2_SETTINGS;
        if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) {
            if (!(id % 2) || (type == NGHTTP2_DATA && stream && *stream != SENT_HEAD) || (stream && *stream == SENT_END))
                die("frame %u of stream %u does not follow what was sent", type, id);
            if (stream)
                *stream = flags & NGHTTP2_FLAG_END_STREAM ? SENT_END : SENT_HEAD;
        } else if (type == NGHTTP2_RST_STREAM && stream) {
            *stream = SENT_END;
        }
        out = str_from(out, HEAD + n);
    }
    if (n_for_nothing > (minutes + 1) * MOST_FOR_NOTHING)
        die("%u frames were answered", n_for_nothing);
}

static void begin(struct str in)
{
    static const size_t takes[] = {SIZE_MAX, 50, 200, 500, 1000, 5000, 20000, 100000};
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 9, 30, 100, 1000, 3000};

    now.options = (unsigned char)in.p[0];
    now.in = cur_of(str_from(in, 1));
    now.takes = takes[now.options >> 2 & 7];
    now.piece = pieces[now.options >> 5];
    now.coming = (struct buf)BUF_LIMIT(64 << 20);
    now.out = (struct buf)BUF_LIMIT(64 << 20);
    now.n_frames = 0;
    now.is_deaf = false;
    now.last = (struct frame){0};
    os_clock_set_for_test(START_MS);
    now.began_ms = os_monotonic_ms();
    if (now.options & 2) {
        BUF_PUT(&now.coming, NGHTTP2_CLIENT_MAGIC);
        put_frame(&(struct frame){.type = NGHTTP2_SETTINGS});
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_open;
    struct err e = {0};
    struct web_conn c = {.monitor = {-1}, .keys = {-1}, .front = {-1}, .acme = {-1}, .dial = {-1}, .remote = STR("192.0.2.7"),
                         .out = BUF_LIMIT(256 * 1024), .received_id = STR("id")};

    if (!is_open) {
        log_set_fd(-1);
        ready_fd = eventfd(1, EFD_CLOEXEC);
        silent_fd = eventfd(0, EFD_CLOEXEC);
        if (ready_fd < 0 || silent_fd < 0 || !http2_open(&e))
            die("%s", e.text);
        is_open = true;
    }
    if (!size)
        return 0;
    now.conn = &c;
    begin(str_at(data, size));
    c.stream.fd = ready_fd; // there is always something to try
    http2_serve(&c);
    if (now.n_handlers || now.n_sources)
        die("%u handlers and %u sources are left", now.n_handlers, now.n_sources);
    check_sent(buf_str(&now.out));
    buf_fini(&now.coming);
    buf_fini(&now.out);
    buf_fini(&c.out);
    return 0;
}
