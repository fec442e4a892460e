#include "cmd/probe.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/own_connect.h"
#include "cmd/own_https.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/mtasts.h"

enum { PROBE_MS = 15 * 1000 }; // for one server

typedef bool visit_fn(const struct prober *p, void *arg, struct buf *out, struct err *e);

// What the visit comes to; or why it failed.
static bool probe(const struct prober *p, visit_fn *visit, void *arg, struct str *out, struct err *e)
{
    AUTO_BUF got = BUF_LIMIT(MTASTS_MAX_POLICY + 4096);
    int64_t end = os_monotonic_ms() + PROBE_MS;
    int pair[2];
    pid_t pid;

    if (os_monotonic_ms() > p->end_ms)
        return fail(e, ERR_TEMPORARY, "left out, there was no time");
    fflush(stdout);
    if (pipe(pair))
        return fail_errno(e, "pipe");
    pid = fork();
    if (pid == 0) {
        AUTO_BUF found = BUF_LIMIT(MTASTS_MAX_POLICY);
        struct err why = {0};
        bool is_ok = visit(p, arg, &found, &why);

        (void)!(os_write_all(pair[1], is_ok ? STR("+") : STR("-"), &why) &&
                os_write_all(pair[1], is_ok ? buf_str(&found) : str_of(why.text), &why));
        _exit(0);
    }
    fd_close(&pair[1]);
    for (struct pollfd r = {.fd = pair[0], .events = POLLIN};;) {
        int64_t left = end - os_monotonic_ms();
        char *room = buf_room(&got, 4096);
        ssize_t n = room && left > 0 && poll(&r, 1, (int)left) == 1 ? read(pair[0], room, 4096) : -1;

        if (n <= 0)
            break;
        buf_claim(&got, (size_t)n);
    }
    fd_close(&pair[0]);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (!got.n)
        return fail(e, ERR_TEMPORARY, "no answer in time");
    *out = arena_dup(p->a, str_from(buf_str(&got), 1));
    return got.p[0] == '+' || fail(e, ERR_TEMPORARY, "%.*s", STR_FMT(*out));
}

struct server {
    struct str name;
    const struct ip *ip;
    unsigned port;
};

static bool connect_to(const struct server *s, struct stream *out, struct err *e)
{
    struct mx_addresses to = {.ips = {*s->ip}, .n = 1};
    struct ip used;

    return own_connect(&to, s->port, out, &used, e) && own_confine(e);
}

static bool verify(const struct prober *p, struct stream *s, struct tls_client *tls, struct str name, struct err *e)
{
    const struct dane_result no_dane = {0};
    struct tls_target target = own_tls_target(p->a, &no_dane, name);

    return stream_connect_tls(s, tls, &target, OWN_COMMAND_MS, e) &&
           tls_verify_roots(tls, s->tls, name, e) == TLS_VERIFIED;
}

static bool visit_smtp(const struct prober *p, void *arg, struct buf *out, struct err *e)
{
    const struct server *server = arg;
    struct stream s = {.fd = -1};
    struct own_smtp smtp = OWN_SMTP(&s, p->a);
    struct tls_client *tls = tls_client_new(e);

    (void)out;
    return tls && connect_to(server, &s, e) && own_smtp_begin(&smtp, STR("moxtest"), e) &&
           own_smtp_ask_tls(&smtp, e) && verify(p, &s, tls, server->name, e);
}

static bool visit_tls(const struct prober *p, void *arg, struct buf *out, struct err *e)
{
    const struct server *server = arg;
    struct stream s = {.fd = -1};
    struct tls_client *tls = tls_client_new(e);

    (void)out;
    return tls && connect_to(server, &s, e) && verify(p, &s, tls, server->name, e);
}

static bool visit_policy(const struct prober *p, void *arg, struct buf *out, struct err *e)
{
    const struct str *domain = arg;
    struct str body;
    struct url url;

    if (!url_parse(arena_printf(p->a, "https://" MTASTS_HOST_PREFIX "%.*s" MTASTS_PATH, STR_FMT(*domain)), &url, e) ||
        !own_https_get(p->a, p->dns, &url, MTASTS_MAX_POLICY - 1, &body, e))
        return false;
    buf_put(out, body);
    return true;
}

bool probe_smtp(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e)
{
    struct str nothing;

    return probe(p, visit_smtp, &(struct server){name, ip, port}, &nothing, e);
}

bool probe_tls(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e)
{
    struct str nothing;

    return probe(p, visit_tls, &(struct server){name, ip, port}, &nothing, e);
}

bool probe_policy(const struct prober *p, struct str domain, struct str *body, struct err *e)
{
    return probe(p, visit_policy, &domain, body, e);
}
