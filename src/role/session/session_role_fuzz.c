/*
 * session: what the monitor, front, auth, queue, keys, dkim, admin, accounts and resolve may say to it, while its client
 * says anything, too. The first byte: bits 0 and 1 the protocol, then TLS, what the port has, and the client's key.
 */
#include "base/die.h"
#include "role/child_fuzz.h"
#include "role/session/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Nobody else's words end a line of ours, or begin one.
static void check_replies(struct str out, bool is_smtp)
{
    struct str line;

    while (str_cut(out, '\n', &line, &out)) {
        if (!str_ends(line, STR("\r")))
            die("a reply with a line that ends in LF alone");
        line.n--;
        for (size_t i = 0; i < line.n; i++)
            if ((unsigned char)line.p[i] < ' ' || line.p[i] == 127)
                die("a control character in a reply: %zu %02x %.60s", i, line.p[i], line.p);
        if (is_smtp && (line.n < 4 || !ascii_is_digit(line.p[0]) || !ascii_is_digit(line.p[1]) || !ascii_is_digit(line.p[2]) ||
                        (line.p[3] != ' ' && line.p[3] != '-')))
            die("no reply: %.*s", STR_FMT(line));
    }
}

static void serve(unsigned options)
{
    static const uint8_t protocols[] = {IPC_PROTOCOL_SMTP, IPC_PROTOCOL_SUBMISSION, IPC_PROTOCOL_IMAP, IPC_PROTOCOL_SMTP};
    static struct role_start start = {.settings = {.hostname = STR_("mail.mox.example")}}; // of tens of kilobytes
    uint8_t protocol = protocols[options & 3];
    bool is_tls = options & 4;
    struct ipc_listener port = {.protocol = protocol,
                                .tls = options & 8 ? LISTENER_TLS_STARTTLS : LISTENER_TLS_NONE,
                                .require_tls = options & 16,
                                .hostname = STR("mail.mox.example"),
                                .dnsbls = options & 32 ? STR("bl.example") : STR(""),
                                .first_time_delay_ms = 1000,
                                .max_message_bytes = 10000};
    struct session s = {.start = &start, .port = &port, .stream = child_fuzz_stream(), .is_tls = is_tls,
                        .monitor = child_fuzz_channel(ROLE_SESSION, ROLE_MONITOR),
                        .front = {-1}, .auth = {-1}, .queue = {-1}, .keys = {-1}, .dkim = {-1}, .admin = {-1},
                        .packet = packet_new(), .has_client_key = options & 64, .received_id = STR("id"),
                        .conn = {.conn = 0x1234, .is_tls = is_tls, .remote = STR("192.0.2.7"), .local = STR("192.0.2.1")},
                        .arena = ARENA_LIMIT(16 << 20), .line_arena = ARENA_LIMIT(4 << 20),
                        .in = BUF_LIMIT(256 * 1024), .out = BUF_LIMIT(256 * 1024)};

    if (protocol != IPC_PROTOCOL_SMTP)
        s.front = child_fuzz_channel(ROLE_SESSION, ROLE_FRONT);
    if (protocol == IPC_PROTOCOL_IMAP)
        imap_session(&s);
    else
        smtp_session(&s);
    stream_close(&s.stream);
    for (struct channel *all[] = {&s.monitor, &s.front, &s.auth, &s.queue, &s.keys, &s.dkim, &s.admin}, **ch = all;
         ch < all + COUNT(all); ch++)
        channel_close(*ch);
    resolver_fini(&s.resolver);
    packet_free(s.packet);
    arena_fini(&s.arena);
    arena_fini(&s.line_arena);
    buf_fini(&s.in);
    buf_fini(&s.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str lines[] = {
        STR_("EHLO c.example\r\n"), STR_("MAIL FROM:<b@other.example>\r\n"), STR_("RCPT TO:<alice@mox.example>\r\n"),
        STR_("DATA\r\n"), STR_("From: <b@other.example>\r\nTo: <alice@mox.example>\r\n\r\nhello\r\n.\r\n"), STR_("STARTTLS\r\n"),
        STR_("AUTH PLAIN AGEAYg==\r\n"), STR_("AUTH SCRAM-SHA-256\r\n"), STR_("biwsbj1hLHI9Yg==\r\n"), STR_("*\r\n"),
        STR_("RSET\r\n"), STR_("QUIT\r\n"), STR_("BDAT 20 LAST\r\nSubject: a\r\n\r\nabcd\r\n"), STR_("MAIL FROM:<>\r\n"),
        STR_("RCPT TO:<list@mox.example>\r\n"), STR_("a LOGIN alice b\r\n"), STR_("a AUTHENTICATE PLAIN\r\n"), STR_("a STARTTLS\r\n"),
        STR_("a CAPABILITY\r\n"), STR_("MAIL FROM:<alice@mox.example> SIZE=100 BODY=8BITMIME\r\n"), STR_("AUTH EXTERNAL =\r\n"),
        STR_("DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=s; h=from; bh=YQ==; b=YQ==\r\nFrom: <b@other.example>\r\n\r\nhello\r\n.\r\n"),
    };
    static const struct str words[] = {
        STR_("alice"), STR_("alice@mox.example"), STR_("mox.example"), STR_("2.1.0"), STR_("5.1.1"), STR_("a\r\nb"),
        STR_("\xff\xff\xff\x7f"), STR_("v=spf1 ip4:192.0.2.0/24 -all"), STR_("v=DMARC1; p=reject"), STR_("one"), STR_("From:To"),
        STR_("\xc0\x00\x02\x01"), STR_("<b@other.example>"), STR_("x\0y"),
    };
    struct child_fuzz f = {.source = {.words = words, .n_words = COUNT(words)}, .lines = lines, .n_lines = COUNT(lines)};

    if (!size)
        return 0;
    child_fuzz_begin(&f, data + 1, size - 1);
    serve(data[0]);
    check_replies(buf_str(&f.out), (data[0] & 3) != 2);
    child_fuzz_end(&f);
    return 0;
}
