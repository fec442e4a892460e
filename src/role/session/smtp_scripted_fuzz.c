#include "role/session/smtp_scripted.h"

#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "os/clock.h"
#include "os/file.h"
#include "proto/sasl/sasl.h"

static struct scripted *now;

/* --- the client ---------------------------------------------------------------------------------- */

bool stream_open(struct stream *s, int fd, struct err *e)
{
    (void)s, (void)fd, (void)e;
    return true;
}

void stream_close(struct stream *s)
{
    (void)s;
}

enum stream_event stream_wait(const struct stream *s, int other, int timeout_ms)
{
    (void)s, (void)other;
    if (now->read_ms <= timeout_ms)
        return STREAM_READY; // or the end, which reading finds
    os_sleep_ms(timeout_ms);
    return STREAM_TIMEOUT;
}

enum stream_event stream_wait_end(const struct stream *s, int other, int timeout_ms)
{
    (void)s, (void)other;
    os_sleep_ms(timeout_ms);
    return STREAM_TIMEOUT;
}

bool stream_read(struct stream *s, char *p, size_t n, int timeout_ms, size_t *got, struct err *e)
{
    (void)s;
    *got = 0;
    os_sleep_ms(now->read_ms < timeout_ms ? now->read_ms : timeout_ms);
    if (now->read_ms > timeout_ms)
        return fail(e, ERR_TEMPORARY, "timeout");
    while (now->at_packet < now->n_packets) {
        struct str left = str_from(now->packets[now->at_packet], now->at_byte);

        *got = left.n < n ? left.n : n;
        if (*got)
            memcpy(p, left.p, *got);
        now->at_byte += *got;
        if (*got == left.n) {
            now->at_packet++;
            now->at_byte = 0;
        }
        if (*got)
            return true;
    }
    return true;
}

bool stream_write(struct stream *s, struct str bytes, int timeout_ms, struct err *e)
{
    (void)s, (void)timeout_ms, (void)e;
    buf_put(&now->out, bytes);
    return true;
}

bool stream_start_tls(struct stream *s, struct tls_server *server, int timeout_ms, struct err *e)
{
    (void)s, (void)server, (void)timeout_ms, (void)e;
    return true;
}

struct str tls_version(const struct tls *t)
{
    (void)t;
    return STR("TLS1.3");
}

struct str tls_cipher(const struct tls *t)
{
    (void)t;
    return STR("TLS_AES_128_GCM_SHA256");
}

void tls_end_put_label(const struct tls *t, struct buf *out)
{
    (void)t, (void)out;
}

/* --- the other processes ------------------------------------------------------------------------- */

enum { GRANT_GOOD = 1, GRANT_LIST = 10, GRANT_FULL = 100, GRANT_TORN = 200 };

// LOGIN asks for the name, SCRAM has a word to say at the end, and all others decide at once.
bool session_auth_step(struct session *s, struct str mechanism, const struct str *response,
                       enum ipc_outcome *outcome, struct str *text, struct err *e)
{
    if (!mechanism.n && !now->has_exchange)
        die("an exchange goes on that has not begun");
    now->has_exchange = false;
    *text = STR("");
    if (mechanism.n && sasl_info(sasl_mechanism_of(mechanism))->needs_tls && !s->is_tls) {
        *outcome = IPC_NEEDS_TLS;
    } else if (response && str_ends(*response, STR("broken"))) {
        return fail(e, ERR_TEMPORARY, "scripted");
    } else if (!response || str_eq(mechanism, STR("LOGIN")) ||
               str_eq(*response, STR("more"))) {
        now->has_exchange = true;
        *outcome = IPC_CONTINUE;
        *text = response ? STR("and then?") : STR("begin");
    } else {
        *text = STR("bad user name or password");
        *outcome = str_ends(*response, STR("good"))    ? IPC_OK
                   : str_ends(*response, STR("limit")) ? IPC_LIMITED
                   : str_ends(*response, STR("bound")) ? IPC_BINDING
                   : str_ends(*response, STR("off"))   ? IPC_DISABLED
                                                       : IPC_BAD;
    }
    return true;
}

bool session_auth_abort(struct session *s, enum ipc_outcome *outcome, struct str *text,
                        struct err *e)
{
    (void)s, (void)e;
    if (!now->has_exchange)
        die("an exchange is given up that has not begun");
    now->has_exchange = false;
    *outcome = IPC_ABORTED;
    *text = STR("");
    return true;
}

bool session_auth_key(struct session *s, enum ipc_outcome *outcome, struct str *text,
                      struct err *e)
{
    (void)s, (void)outcome, (void)text;
    return fail(e, ERR_BUG, "no client of ours has a key");
}

bool session_check_rcpt(struct session *s, struct str reverse_path, struct str localpart, struct str domain,
                        struct ipc_rcpt_reply *r, struct err *e)
{
    bool is_unknown = str_starts(localpart, STR("unknown"));

    (void)reverse_path, (void)s, (void)domain;
    *r = (struct ipc_rcpt_reply){.code = 250, .enhanced = STR("2.1.0"), .grant = GRANT_GOOD,
                                 .n_grants = 1};
    if (str_starts(localpart, STR("broken")))
        return fail(e, ERR_TEMPORARY, "scripted");
    if (str_starts(localpart, STR("later")))
        *r = (struct ipc_rcpt_reply){.code = 451, .enhanced = STR("4.3.0"), .text = STR("later")};
    else if (now->is_submission)
        r->n_grants = 0;
    else if (str_starts(localpart, STR("refused")))
        *r = (struct ipc_rcpt_reply){.code = 550, .enhanced = STR("5.1.1"), .text = STR("no")};
    else if (is_unknown)
        r->n_grants = 0;
    else if (str_starts(localpart, STR("list")))
        r->grant = GRANT_LIST, r->n_grants = 3, r->is_list = true;
    else if (str_starts(localpart, STR("closed")))
        r->grant = GRANT_LIST, r->n_grants = 2, r->is_list = true;
    else if (str_starts(localpart, STR("full")))
        r->grant = GRANT_FULL;
    else if (str_starts(localpart, STR("torn")))
        r->grant = GRANT_TORN;
    r->is_report = str_starts(localpart, STR("report"));
    return true;
}

bool session_check_from(struct session *s, struct str localpart, struct str domain,
                        enum ipc_outcome *outcome, struct str *canonical, struct err *e)
{
    (void)s, (void)domain, (void)e;
    *canonical = STR("me@example.org");
    *outcome = str_starts(localpart, STR("me"))    ? IPC_OK
               : str_starts(localpart, STR("off")) ? IPC_TEMPORARY
                                                   : IPC_BAD;
    return true;
}

bool session_sign(struct session *s, const struct dkim_client_message *m, struct buf *out,
                  struct err *e)
{
    (void)s, (void)out;
    if (!str_eq(m->domain, STR("example.org")) || m->body_start > m->body_end)
        die("a message is signed as it is not");
    return str_find_str(m->header, STR("unsigned")) < 0 || fail(e, ERR_TEMPORARY, "dkim is away");
}

bool session_selectors(struct session *s, struct arena *a, struct str domain,
                       struct dkim_selector **out, size_t *n, struct err *e)
{
    (void)s, (void)a, (void)domain, (void)out, (void)e;
    *n = 0;
    return true;
}

bool session_check_list(struct session *s, const struct ipc_list_check *question, bool *is_allowed,
                        struct err *e)
{
    (void)s, (void)e;
    *is_allowed = !str_starts(question->localpart, STR("closed")) ||
                  str_starts(question->from_localpart, STR("member"));
    return true;
}

static void take(int fd, uint64_t size, struct str prefix)
{
    char *room;

    if (!os_memfile_is_sealed(fd) || lseek(fd, 0, SEEK_END) != (off_t)size)
        die("the message's file is open, or not as long as was said");
    buf_reset(&now->message);
    buf_reset(&now->prefix);
    buf_put(&now->prefix, prefix);
    if (!size)
        return;
    room = buf_room(&now->message, size);
    if (!room || pread(fd, room, size, 0) != (ssize_t)size)
        die("the message's file cannot be read");
    buf_claim(&now->message, size);
}

bool session_enqueue(struct session *s, const struct ipc_submit *envelope,
                     const struct ipc_submit_rcpt *recipients, int fd, uint64_t size,
                     struct ipc_verdict *v, struct err *e)
{
    (void)s, (void)e;
    if (!envelope->recipients || !recipients[envelope->recipients - 1].address.n)
        die("a message without recipients is queued");
    take(fd, size, envelope->prefix);
    now->queued++;
    *v = (struct ipc_verdict){.code = 250, .enhanced = STR("2.2.0")};
    return true;
}

// What stands in for the channel: the grant, and whether the offer was answered.
bool session_offer(struct session *s, uint32_t grant, const struct ipc_findings *findings,
                   const struct ipc_offer *offer, int fd, struct channel *account, struct err *e)
{
    (void)s, (void)e, (void)findings;
    take(fd, offer->size, offer->prefix);
    *account = (struct channel){.fd = -1, .self = (enum role)grant, .peer = ROLE_MONITOR};
    return true;
}

bool session_hear_verdict(struct session *s, struct channel *account, struct ipc_verdict *v,
                          struct err *e)
{
    unsigned grant = (unsigned)account->self;
    bool is_commit = account->peer == ROLE_ACCOUNT;

    (void)s;
    *v = (struct ipc_verdict){.code = 250, .enhanced = STR("2.2.0")};
    if (grant == GRANT_FULL)
        *v = (struct ipc_verdict){.code = 452, .enhanced = STR("4.2.2"), .text = STR("full")};
    if (grant == GRANT_TORN && is_commit)
        return fail(e, ERR_TEMPORARY, "scripted");
    now->delivered += is_commit && v->code == 250;
    return true;
}

bool session_commit(struct channel *account, struct err *e)
{
    (void)e;
    account->peer = ROLE_ACCOUNT;
    return true;
}

// Every domain exists and lets everybody send mail in its name; there is nothing else in this DNS.
static void scripted_lookup(void *ctx, struct arena *a, struct str name, enum dns_type type,
                            struct dns_answer *out)
{
    bool is_policy = type == DNS_TXT && !str_starts(name, STR("_"));

    (void)ctx;
    *out = (struct dns_answer){.status = DNS_NODATA};
    if (is_policy || type == DNS_A) {
        struct dns_record *r = ARENA_NEW(a, struct dns_record);

        r->data = is_policy ? STR("v=spf1 +all") : STR("\xc0\x00\x02\x01");
        *out = (struct dns_answer){.status = DNS_OK, .name = name, .records = r, .n = 1};
    }
}

bool session_tell_evaluation(struct session *s, const struct ipc_dmarc_evaluation *m, struct err *e)
{
    (void)s, (void)m, (void)e;
    return true;
}

struct dns session_dns(struct session *s)
{
    (void)s;
    return (struct dns){.lookup = scripted_lookup};
}

/* --- running ------------------------------------------------------------------------------------- */

#define START_MS 1800000000000ll

void scripted_run(struct scripted *t)
{
    static struct role_start start; // of tens of kilobytes
    struct ipc_listener port = {
        .protocol = t->is_submission ? IPC_PROTOCOL_SUBMISSION : IPC_PROTOCOL_SMTP,
        .tls = t->has_starttls ? LISTENER_TLS_STARTTLS : LISTENER_TLS_NONE,
        .require_tls = t->requires_tls,
        .hostname = STR("mx.example"),
        .max_message_bytes = t->max_message_bytes,
    };
    struct session s = {.start = &start, .port = &port, .stream = {.fd = -1}, .monitor = {-1},
                        .front = {-1}, .auth = {-1}, .queue = {-1}, .keys = {-1}, .admin = {-1},
                        .conn = {.conn = 0x1234, .remote = STR("192.0.2.7"),
                                 .local = STR("192.0.2.1")},
                        .arena = ARENA_LIMIT(16 << 20), .line_arena = ARENA_LIMIT(4 << 20),
                        .in = BUF_LIMIT(256 * 1024), .out = BUF_LIMIT(256 * 1024)};

    start.settings = (struct ipc_settings){.is_pedantic = t->is_pedantic,
                                           .is_localserve = t->is_localserve};
    if (!t->out.limit) {
        t->out.limit = 64 << 20;
        t->message.limit = t->prefix.limit = 64 << 20;
    }
    now = t;
    os_clock_set_for_test(START_MS);
    smtp_session(&s);
    t->took_ms = os_now_unix_ms() - START_MS;
    if (now->at_packet < now->n_packets && !now->out.n)
        die("the session ended without a word");
    arena_fini(&s.arena);
    arena_fini(&s.line_arena);
    buf_fini(&s.in);
    buf_fini(&s.out);
}

void scripted_fini(struct scripted *t)
{
    buf_fini(&t->out);
    buf_fini(&t->message);
    buf_fini(&t->prefix);
}

unsigned scripted_reply(struct str *out)
{
    struct str line, code;
    uint64_t number = 0, first = 0;

    while (out->n) {
        if (!str_cut(*out, '\n', &line, out) || !str_ends(line, STR("\r")) || line.n < 4 ||
            line.n > 513)
            die("malformed reply line: %.*s", STR_FMT(line));
        code = str_sub(line, 0, 3);
        for (size_t i = 0; i + 1 < line.n; i++)
            if ((unsigned char)line.p[i] < 32 || line.p[i] == 127)
                die("control character in a reply");
        if (!str_u64(code, 599, &number) || number < 200 || (first && number != first))
            die("malformed reply code: %.*s", STR_FMT(line));
        first = number;
        if (line.p[3] == ' ')
            return (unsigned)number;
        if (line.p[3] != '-')
            die("malformed reply line: %.*s", STR_FMT(line));
    }
    if (first)
        die("a reply without its last line");
    return 0;
}
