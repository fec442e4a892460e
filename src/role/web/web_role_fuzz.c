/*
 * web: what the monitor, front, acme and dial may say to it, and a server behind the proxy, while its client asks for
 * anything over HTTP/1.1. (HTTP/2 is http2_fuzz.c.) The first byte: bit 0 TLS, bit 1 requests are counted, bit 2
 * X-Forwarded-For is believed.
 */
#include "base/die.h"
#include "role/child_fuzz.h"
#include "role/granted.h"
#include "role/web/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- instead of main.c ------------------------------------------------------------------------------- */

bool web_grant(struct web_conn *c, enum ipc_service service, struct channel *out, enum role peer, struct err *e)
{
    struct granted g = {ROLE_WEB, &c->monitor, c->packet, WEB_IPC_TIMEOUT_MS};

    return granted_service(&g, service, peer, out, e);
}

int web_timeout(const struct web_conn *c, int ms)
{
    (void)c;
    return ms;
}

struct tls_client *role_tls_client(struct role_start *s, struct err *e)
{
    static char client;

    (void)s, (void)e;
    return (struct tls_client *)&client;
}

/* ------------------------------------------------------------------------------------------------------ */

static const struct ipc_listener port = {.index = 0, .protocol = IPC_PROTOCOL_HTTP, .hostname = STR_("mail.mox.example")};
static const struct ipc_listener forwarded = {.index = 0, .protocol = IPC_PROTOCOL_HTTP, .hostname = STR_("mail.mox.example"),
                                              .is_forwarded = 1};

static void configure(struct role_start *s)
{
    static struct buf config = BUF_LIMIT(1 << 20);
    struct err e = {0};

    s->settings.hostname = STR("mail.mox.example");
    s->arena = (struct arena)ARENA_LIMIT(16 << 20);
    COMPILED_PUT(&config, web_service, .kind = WEB_METRICS);
    COMPILED_PUT(&config, web_service, .kind = WEB_AUTOCONFIG);
    COMPILED_PUT(&config, web_service, .kind = WEB_MTASTS);
    COMPILED_PUT(&config, web_service, .kind = WEB_SITES);
    COMPILED_PUT(&config, web_service, .kind = WEB_ACME, .path = STR("/.well-known/acme-challenge/"));
    COMPILED_PUT(&config, web_service, .kind = WEB_ADMIN, .path = STR("/admin/"));
    COMPILED_PUT(&config, web_domain, .name = STR("mox.example"), .client_settings = STR("mail.mox.example"),
                 .imap_host = STR("mail.mox.example"), .imap_port = 993, .submission_host = STR("mail.mox.example"),
                 .submission_port = 465, .has_sts = 1, .sts_mx = STR("mail.mox.example"), .sts_max_age = 1000);
    COMPILED_PUT(&config, web_handler, .kind = WEB_HANDLER_FORWARD, .name = STR("f"), .domain = STR("www.mox.example"),
                 .path_regexp = STR("^/f/"), .answers_plain = 1, .compresses = 1, .url = STR("http://back.example:8080/x"), .strips_path = 1);
    COMPILED_PUT(&config, web_handler, .kind = WEB_HANDLER_FORWARD, .name = STR("s"), .domain = STR("www.mox.example"),
                 .path_regexp = STR("^/s/"), .answers_plain = 1, .url = STR("https://back.example/"));
    COMPILED_PUT(&config, web_handler, .kind = WEB_HANDLER_REDIRECT, .name = STR("r"), .domain = STR("www.mox.example"),
                 .path_regexp = STR("^/r/"), .answers_plain = 1, .url = STR("https://other.example/"), .orig_path_regexp = STR("^/r/(.*)$"),
                 .replace_path = STR("/$1"));
    COMPILED_PUT(&config, web_handler, .kind = WEB_HANDLER_INTERNAL, .name = STR("i"), .domain = STR("www.mox.example"),
                 .path_regexp = STR("^/i/"), .base_path = STR("/i/"), .service = STR("admin"));
    s->config = buf_str(&config);
    if (!dispatch_load(s, &e) || !sites_load(s, &e) || !qr_open(&e))
        die("%s", e.text);
}

static void serve(const struct role_start *start, unsigned options)
{
    struct web_conn c = {.start = start, .port = options & 4 ? &forwarded : &port, .stream = child_fuzz_stream(),
                         .monitor = child_fuzz_channel(ROLE_WEB, ROLE_MONITOR), .keys = {-1}, .front = {-1}, .acme = {-1},
                         .dial = {-1}, .packet = packet_new(), .arena = ARENA_LIMIT(1 << 20),
                         .request_arena = ARENA_LIMIT(WEB_REQUEST_MEMORY), .in = BUF_LIMIT(HTTP_MAX_HEAD + 2 * WEB_BUFFER),
                         .out = BUF_LIMIT(256 * 1024), .received_id = STR("id"), .remote = STR("192.0.2.7"),
                         .is_tls = options & 1, .info = {.remote = STR("192.0.2.7"), .local = STR("192.0.2.1")}};

    if (options & 2)
        c.front = child_fuzz_channel(ROLE_WEB, ROLE_FRONT);
    http1_serve(&c);
    client_done(&c);
    stream_close(&c.stream);
    channel_close(&c.monitor);
    channel_close(&c.keys);
    channel_close(&c.front);
    channel_close(&c.acme);
    channel_close(&c.dial);
    packet_free(c.packet);
    arena_fini(&c.arena);
    arena_fini(&c.request_arena);
    buf_fini(&c.in);
    buf_fini(&c.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str lines[] = {
        STR_("GET /f/a HTTP/1.1\r\nHost: www.mox.example\r\n\r\n"), STR_("POST /f/b HTTP/1.1\r\nHost: www.mox.example\r\nContent-Length: 5\r\n\r\nhello"),
        STR_("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), STR_("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        STR_("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
        STR_("GET /f/w HTTP/1.1\r\nHost: www.mox.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"),
        STR_("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: mail.mox.example\r\n\r\n"), STR_("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
        STR_("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.mox.example\r\n\r\n"), STR_("GET /s/ HTTP/1.1\r\nHost: www.mox.example\r\n\r\n"),
        STR_("GET /r/x HTTP/1.1\r\nHost: www.mox.example\r\n\r\n"), STR_("GET /mail/config-v1.1.xml?emailaddress=a@mox.example HTTP/1.1\r\nHost: autoconfig.mox.example\r\n\r\n"),
        STR_("PUT /f/ HTTP/1.1\r\nHost: www.mox.example\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"), STR_("3\r\nabc\r\n0\r\n\r\n"),
        STR_("HTTP/1.1 100 Continue\r\n\r\n"), STR_("HTTP/1.0 304 Not Modified\r\n\r\n"), STR_("\r\n"), STR_("X-Forwarded-For: 2001:db8::1\r\n"),
        STR_("GET /i/ HTTP/1.1\r\nHost: www.mox.example\r\nConnection: close\r\n\r\n"), STR_("HEAD /f/a HTTP/1.1\r\nHost: www.mox.example\r\nAccept-Encoding: gzip\r\n\r\n"),
    };
    static const struct str words[] = {STR_("token.thumbprint"), STR_("a\r\nb"), STR_("no connection"), STR_("192.0.2.7")};
    struct child_fuzz f = {.source = {.words = words, .n_words = COUNT(words)}, .lines = lines, .n_lines = COUNT(lines)};
    static struct role_start start;

    if (!start.config.n)
        configure(&start);
    if (!size)
        return 0;
    child_fuzz_begin(&f, data + 1, size - 1);
    serve(&start, data[0]);
    child_fuzz_end(&f);
    return 0;
}
