#include "cmd/own_connect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cur.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "role/profiles.h"
#include "text/idna.h"

enum { PIECE = 4096 };

bool own_parse_host(struct arena *a, const char *text, unsigned default_port, struct str *host,
                    unsigned *port, struct err *e)
{
    struct str s = str_of(text), name = s, rest = STR("");
    ptrdiff_t colon = str_find_last(s, ':');
    uint64_t number = default_port;
    struct ip ip;

    if (str_starts(s, STR("["))) {
        if (!str_cut(str_from(s, 1), ']', &name, &rest))
            return fail(e, ERR_SYNTAX, "\"%s\": ] is missing", text);
    } else if (colon >= 0 && !ip_parse(s, &ip)) {
        name = str_sub(s, 0, (size_t)colon);
        rest = str_from(s, (size_t)colon);
    }
    if (rest.n && (rest.p[0] != ':' || !str_u64(str_from(rest, 1), UINT16_MAX, &number)))
        return fail(e, ERR_SYNTAX, "\"%s\": no port", text);
    if (!number)
        return fail(e, ERR_SYNTAX, "\"%s\": host:port expected", text);
    *port = (unsigned)number;
    if (ip_parse(name, &ip)) {
        *host = name;
        return true;
    }
    return domain_to_ascii(a, name, host, e);
}

bool own_addresses(const struct dns *dns, struct arena *a, struct str host, struct mx_addresses *out,
                   struct err *e)
{
    *out = (struct mx_addresses){.n = 1};
    if (ip_parse(host, &out->ips[0]))
        return true;
    mx_addresses(dns, a, host, MX_IPV4 | MX_IPV6, NULL, 0, out);
    return out->n || fail(e, out->is_temporary ? ERR_TEMPORARY : ERR_NOT_FOUND, "%.*s", STR_FMT(out->why));
}

static int connect_one(const struct ip *ip, unsigned port, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(64);
    struct pollfd p = {.events = POLLOUT};
    int code;
    AUTO_FD fd = net_dial(ip, port, NULL, &code, e);

    ip_put(&text, ip);
    if (fd >= 0) {
        p.fd = fd;
        code = poll(&p, 1, OWN_CONNECT_MS) == 1 ? net_dial_result(fd) : ETIMEDOUT;
    }
    if (fd >= 0 && !code)
        return fd_take(&fd);
    (void)fail(e, ERR_TEMPORARY, "connecting to %.*s port %u: %s", STR_FMT(buf_str(&text)), port,
               strerror(code));
    return -1;
}

bool own_connect(const struct mx_addresses *to, unsigned port, struct stream *out, struct ip *used,
                 struct err *e)
{
    for (size_t i = 0; i < to->n; i++) {
        int fd = connect_one(&to->ips[i], port, e);

        if (fd < 0)
            continue;
        *used = to->ips[i];
        *e = (struct err){0};
        return stream_open(out, fd, e);
    }
    return false;
}

bool own_confine(struct err *e)
{
    struct sandbox *box = sandbox_compile(role_profile(ROLE_DELIVER), e);
    bool is_ok = box && sandbox_enter(box, NULL, 0, e);

    sandbox_free(box);
    return is_ok;
}

struct tls_target own_tls_target(struct arena *a, const struct dane_result *dane, struct str host)
{
    struct tls_association *list = ARENA_ARRAY(a, dane->n, struct tls_association);

    for (size_t i = 0; i < dane->n; i++)
        list[i] = (struct tls_association){dane->records[i].usage, dane->records[i].selector,
                                           dane->records[i].matching, dane->records[i].data};
    return (struct tls_target){.name = dane->base.n ? dane->base : host, .associations = list,
                               .n_associations = dane->n, .names = dane->names,
                               .n_names = dane->n_names};
}

void own_say_connected(const struct stream *s, struct str host, const struct ip *ip, const char *proof)
{
    AUTO_BUF text = BUF_LIMIT(64);

    ip_put(&text, ip);
    if (s->tls)
        fprintf(stderr, "(connected to %.*s [%.*s] with %.*s, %.*s, %s)\n", STR_FMT(host),
                STR_FMT(buf_str(&text)), STR_FMT(tls_version(s->tls)), STR_FMT(tls_cipher(s->tls)), proof);
    else
        fprintf(stderr, "(connected to %.*s [%.*s] without TLS)\n", STR_FMT(host),
                STR_FMT(buf_str(&text)));
}

/* --- SMTP ------------------------------------------------------------------------------------------- */

static bool read_reply(struct own_smtp *c, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + OWN_COMMAND_MS;

    smtp_reply_reset(&c->reply);
    for (;;) {
        struct str in = buf_str(&c->in);
        size_t had = in.n, got = 0;
        int64_t left = deadline - os_monotonic_ms();
        char *room;

        if (!smtp_reply_feed(&c->reply, &in, e))
            return false;
        buf_drop(&c->in, had - in.n);
        if (c->reply.is_complete)
            return true;
        room = buf_room(&c->in, 4096);
        if (!room || !stream_read(c->s, room, 4096, left > 0 ? (int)left : 0, &got, e))
            return room ? false : fail(e, ERR_LIMIT, "the server says too much");
        if (!got)
            return fail(e, ERR_TEMPORARY, "the server closed the connection");
        buf_claim(&c->in, got);
    }
}

static bool expect(struct own_smtp *c, unsigned class, const char *what, struct err *e)
{
    if (!read_reply(c, e))
        return false;
    return c->reply.code / 100 == class ||
           fail(e, ERR_DENIED, "%s: the server says %u %.*s", what, c->reply.code,
                STR_FMT(smtp_reply_line(c->a, &c->reply)));
}

bool own_smtp_hello(struct own_smtp *c, struct str hello, struct err *e)
{
    AUTO_BUF line = BUF_LIMIT(1024);

    if (!smtp_put_hello(&line, true, hello, e) ||
        !stream_write(c->s, buf_str(&line), OWN_COMMAND_MS, e) || !expect(c, 2, "EHLO", e))
        return false;
    smtp_offer_parse(c->a, buf_str(&c->reply.text), &c->offer);
    return true;
}

bool own_smtp_begin(struct own_smtp *c, struct str hello, struct err *e)
{
    return expect(c, 2, "greeting", e) && own_smtp_hello(c, hello, e);
}

bool own_smtp_ask_tls(struct own_smtp *c, struct err *e)
{
    if (!c->offer.starttls)
        return fail(e, ERR_DENIED, "the server does not offer STARTTLS");
    if (!stream_write(c->s, STR("STARTTLS\r\n"), OWN_COMMAND_MS, e) || !expect(c, 2, "STARTTLS", e))
        return false;
    // Whoever sent this cannot do TLS, and wants it to be taken for what the server says inside.
    return !c->in.n || fail(e, ERR_SYNTAX, "plain bytes behind the reply to STARTTLS");
}

/* --- copying ---------------------------------------------------------------------------------------- */

static bool copy_out(struct stream *s, bool *is_open, struct err *e)
{
    char piece[PIECE];
    size_t got;

    if (!stream_read(s, piece, sizeof piece, OWN_COMMAND_MS, &got, e))
        return false;
    *is_open = got > 0;
    return os_write_all(STDOUT_FILENO, str_at(piece, got), e);
}

static bool copy_in(struct stream *s, bool *is_open, struct err *e)
{
    char piece[PIECE];
    ssize_t got = read(STDIN_FILENO, piece, sizeof piece);

    if (got < 0)
        return fail_errno(e, "standard input");
    *is_open = got > 0;
    return !got || stream_write(s, str_at(piece, (size_t)got), OWN_COMMAND_MS, e);
}

bool own_copy(struct stream *s, struct err *e)
{
    bool is_server_open = true, is_input_open = true;

    while (is_server_open) {
        // Without input, the server has the time of a command to say the rest.
        enum stream_event event = stream_wait(s, is_input_open ? STDIN_FILENO : -1,
                                              is_input_open ? 24 * 3600 * 1000 : OWN_COMMAND_MS);

        if (event == STREAM_TIMEOUT)
            return true;
        if (event == STREAM_READY ? !copy_out(s, &is_server_open, e) : !copy_in(s, &is_input_open, e))
            return false;
    }
    return true;
}
