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

enum {
    PROBE_MS = 15 * 1000, // for one server
    MAX_ELSEWHERE = 4,
};

typedef bool visit_fn(const struct prober *p, void *arg, struct buf *out, struct err *e);

// What the visit comes to, max octets at most; or why it failed.
static bool probe(const struct prober *p, visit_fn *visit, void *arg, size_t max, struct str *out, struct err *e)
{
    AUTO_BUF got = BUF_LIMIT(max + 8192);
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
        AUTO_BUF found = BUF_LIMIT(max);
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
    struct tls_client *tls = own_tls_client(p->trust, e);

    (void)out;
    return tls && connect_to(server, &s, e) && own_smtp_begin(&smtp, STR("moxtest"), e) &&
           own_smtp_ask_tls(&smtp, e) && verify(p, &s, tls, server->name, e);
}

static bool visit_tls(const struct prober *p, void *arg, struct buf *out, struct err *e)
{
    const struct server *server = arg;
    struct stream s = {.fd = -1};
    struct tls_client *tls = own_tls_client(p->trust, e);

    (void)out;
    return tls && connect_to(server, &s, e) && verify(p, &s, tls, server->name, e);
}

struct page {
    struct url url;
    struct own_https how;
    bool may_be_elsewhere;
};

// "=" and the document, or ">" and where it is instead.
static bool visit_page(const struct prober *p, void *arg, struct buf *out, struct err *e)
{
    const struct page *page = arg;
    struct https_answer answer;

    if (!own_https_ask(p->a, p->dns, &page->url, &page->how, &answer, e))
        return false;
    if (answer.code / 100 == 3 && answer.location.n && page->may_be_elsewhere) {
        buf_put_char(out, '>');
        buf_put(out, answer.location);
        return true;
    }
    buf_put_char(out, '=');
    buf_put(out, answer.body);
    return answer.code == 200 || fail(e, ERR_NOT_FOUND, "HTTP status %ld", answer.code);
}

bool probe_smtp(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e)
{
    struct str nothing;

    return probe(p, visit_smtp, &(struct server){name, ip, port}, 0, &nothing, e);
}

bool probe_tls(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e)
{
    struct str nothing;

    return probe(p, visit_tls, &(struct server){name, ip, port}, 0, &nothing, e);
}

static bool get(const struct prober *p, struct str url, struct page *page, struct str *out, struct err *e)
{
    return url_parse(url, &page->url, e) && (page->url.is_https || fail(e, ERR_DENIED, "%.*s is not https", STR_FMT(url))) &&
           probe(p, visit_page, page, page->how.max_body + HTTPS_MAX_FIELD, out, e) &&
           (out->n || fail(e, ERR_TEMPORARY, "no answer in time"));
}

bool probe_get(const struct prober *p, struct str url, struct str fields, size_t max_body, struct str *body, struct err *e)
{
    struct page page = {.how = {p->trust, fields, max_body}, .may_be_elsewhere = true};

    for (int i = 0; i <= MAX_ELSEWHERE; i++) {
        bool is_here;

        if (!get(p, url, &page, body, e))
            return false;
        is_here = body->p[0] == '=';
        *body = url = str_from(*body, 1);
        if (is_here)
            return true;
    }
    return fail(e, ERR_LIMIT, "it says too often that it is elsewhere");
}

bool probe_policy(const struct prober *p, struct str domain, struct str *body, struct err *e)
{
    struct page page = {.how = {p->trust, .max_body = MTASTS_MAX_POLICY - 1}};

    if (!get(p, arena_printf(p->a, "https://" MTASTS_HOST_PREFIX "%.*s" MTASTS_PATH, STR_FMT(domain)), &page, body, e))
        return false;
    *body = str_from(*body, 1);
    return true;
}
