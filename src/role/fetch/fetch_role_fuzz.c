/*
 * fetch: what queue, admin and acme may have it ask for, and what resolve and dial may say to it. In place of libcurl a
 * server's answer is made of the input.
 */
#include <unistd.h>

#include "base/die.h"
#include "os/fd.h"
#include "role/child_fuzz.h"
#include "role/fetch/fetch.h"
#include "role/fetch/https.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct source *source;

static struct str field_value(struct arena *a)
{
    struct str value = source_text(source, HTTPS_MAX_FIELD);

    return https_is_value(value) ? arena_dup(a, value) : STR("");
}

// What goes out is one request, for the server that was asked for.
static void check_request(const struct https_request *r)
{
    struct str host = str_of(r->host), path = str_of(r->path);
    struct err e = {0};

    if (r->fd < 0 || !host.n || (path.n && path.p[0] != '/' && path.p[0] != '?') || !https_check_fields(r->fields, &e))
        die("a request that is none");
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] <= ' ' || path.p[i] == 127)
            die("a path that ends too early");
    for (size_t i = 0; i < host.n; i++)
        if ((unsigned char)host.p[i] <= ' ' || str_find(STR("/@?#\\"), host.p[i]) >= 0)
            die("a host that is none");
    if (r->timeout_ms <= 0)
        die("a request without end");
}

void https_ask(struct arena *a, const struct https_request *r, struct https_answer *out, struct err *e)
{
    int fd = r->fd;

    check_request(r);
    fd_close(&fd);
    *out = (struct https_answer){.status = (enum https_status)source_number(source, HTTPS_FAILED),
                                 .code = (long)source_number(source, 999),
                                 .content_type = field_value(a), .location = field_value(a), .replay_nonce = field_value(a),
                                 .retry_after = field_value(a), .links = field_value(a),
                                 .body = arena_dup(a, source_text(source, r->max_body))};
    if (out->status != HTTPS_ANSWER)
        (void)fail(e, ERR_TEMPORARY, "no answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum role askers[] = {ROLE_QUEUE, ROLE_ADMIN, ROLE_ACME};
    static const struct str words[] = {
        STR_("other.example"), STR_("https://ca.example/directory"), STR_("https://192.0.2.7:8443/a?b"), STR_("http://ca.example/"),
        STR_("\x06\x00\x00\xc0\x00\x02\x01"), STR_("version: STSv1\r\nmode: enforce\r\nmx: mx.other.example\r\nmax_age: 1000\r\n"), STR_("text/plain"),
        STR_("v=STSv1; id=2;"), STR_("\x10\x00\x00v=STSv1; id=20;"), STR_("1"), STR_("Accept: a\nX: b"), STR_("a\r\nb"), STR_("https://a b/"),
        STR_("https://u@ca.example/\x01"), STR_("mox.example"),
    };
    struct child_fuzz f = {.source = {.words = words, .n_words = COUNT(words)}, .lines = words, .n_lines = COUNT(words)};
    struct channel resolve = child_fuzz_channel(ROLE_FETCH, ROLE_RESOLVE);
    struct fetch fetch = {.asker = child_fuzz_channel(ROLE_FETCH, askers[size ? data[0] % COUNT(askers) : 0]),
                          .dial = child_fuzz_channel(ROLE_FETCH, ROLE_DIAL), .resolve_fd = resolve.fd, .packet = packet_new(),
                          .resolver = RESOLVER(fetch_give_resolver, &fetch), .arena = ARENA_LIMIT(32 << 20)};

    source = &f.source;
    child_fuzz_begin(&f, data + (size > 0), size - (size > 0));
    (void)!fetch_serve(&fetch);
    channel_close(&fetch.asker);
    channel_close(&fetch.dial);
    fd_close(&fetch.resolve_fd);
    resolver_fini(&fetch.resolver);
    packet_free(fetch.packet);
    arena_fini(&fetch.arena);
    child_fuzz_end(&f);
    return 0;
}
