/*
 * deliver: what queue, resolve and dial may say to it, while servers that it speaks to answer anything.
 */
#include "role/child_fuzz.h"
#include "role/deliver/deliver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_no_other(void *ctx, struct channel *out, struct err *e)
{
    (void)ctx, (void)out;
    return fail(e, ERR_TEMPORARY, "it is gone");
}

static void serve(void)
{
    static struct role_start start = {.settings = {.hostname = STR_("mail.mox.example")}};
    struct deliver d = {.start = &start, .packet = packet_new(), .arena = ARENA_LIMIT(1 << 20),
                        .queue = child_fuzz_channel(ROLE_DELIVER, ROLE_QUEUE), .dial = child_fuzz_channel(ROLE_DELIVER, ROLE_DIAL),
                        .resolver = RESOLVER(has_no_other, NULL),
                        .conn = {.stream = {.fd = -1}, .in = BUF_LIMIT(64 * 1024), .reply = SMTP_REPLY, .a = ARENA_LIMIT(1 << 20)}};

    d.resolver.ch = child_fuzz_channel(ROLE_DELIVER, ROLE_RESOLVE);
    d.dns = resolver_dns(&d.resolver);
    deliver_serve(&d);
    channel_close(&d.queue);
    channel_close(&d.dial);
    resolver_fini(&d.resolver);
    packet_free(d.packet);
    arena_fini(&d.arena);
    arena_fini(&d.conn.a);
    buf_fini(&d.conn.in);
    smtp_reply_fini(&d.conn.reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str lines[] = {
        STR_("220 mx.other.example ESMTP\r\n"), STR_("250-mx.other.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE 1000\r\n"),
        STR_("250-mx.other.example\r\n250-STARTTLS\r\n250-CHUNKING\r\n250-REQUIRETLS\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5\r\n"),
        STR_("220 2.0.0 go\r\n"), STR_("250 2.1.0 ok\r\n"), STR_("354 go\r\n"), STR_("550 5.1.1 nobody\r\n"), STR_("451 4.3.0 later\r\n"),
        STR_("250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"), STR_("334 \r\n"), STR_("235 2.7.0 ok\r\n"), STR_("421 4.3.2 going\r\n"), STR_("500 what\r\n"),
        STR_("334 VXNlcm5hbWU6\r\n"), STR_("\x05\x00"), STR_("\x05\x00\x00\x01\xc0\x00\x02\x01\x00\x19"), STR_("250-a\r\n"),
    };
    static const struct str words[] = {
        STR_("bob@other.example"), STR_("alice@mox.example"), STR_("other.example"), STR_("mx.other.example"), STR_("\xc0\x00\x02\x01"),
        STR_("\x06\x00\x00\xc0\x00\x02\x01"), STR_("\x00\x0a\x02mx\x05other\x07""example\x00"), STR_("PLAIN"), STR_("user"), STR_("pass"),
        STR_("v=STSv1; id=1;"), STR_("\x03\x01\x01"), STR_("From: <a@mox.example>\r\nTo: <b@other.example>\r\n\r\nhello\r\n"),
        STR_("From: <a@mox.example>\r\n\r\n\xc3\xa9\0\r\n.\r\n..\nx"), STR_("[192.0.2.7]"), STR_("a\r\nb"), STR_("u\xc3\xa9@other.example"),
    };
    struct child_fuzz f = {.source = {.words = words, .n_words = COUNT(words)}, .lines = lines, .n_lines = COUNT(lines)};

    child_fuzz_begin(&f, data, size);
    serve();
    child_fuzz_end(&f);
    return 0;
}
