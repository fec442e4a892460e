#include "cmd/submission.h"

#include <string.h>

#include "crypto/stream.h"
#include "os/clock.h"
#include "os/net.h"
#include "proto/smtp/client.h"
#include "text/encode.h"

/* mox-imap-store-cli-config.md 3.8 */
enum { DIAL_MS = 30 * 1000, TOTAL_MS = 3 * 60 * 1000, PIECE = 64 * 1024 };

struct conn {
    const struct submission *s;
    struct stream stream;
    struct arena a;
    struct buf in; // read, and not yet a reply
    struct smtp_reply reply;
    struct smtp_offer offer;
    struct tls_client *tls;
    int64_t end_ms;
};

static int time_left(const struct conn *c)
{
    int64_t left = c->end_ms - os_monotonic_ms();

    return left > 0 ? (int)left : 0;
}

static bool hear(struct conn *c, struct err *e)
{
    smtp_reply_reset(&c->reply);
    for (;;) {
        struct str in = buf_str(&c->in);
        char piece[4096];
        size_t got;

        if (!smtp_reply_feed(&c->reply, &in, e))
            return false;
        buf_drop(&c->in, c->in.n - in.n);
        if (c->reply.is_complete)
            return true;
        if (!stream_read(&c->stream, piece, sizeof piece, time_left(c), &got, e))
            return false;
        if (!got)
            return fail(e, ERR_TEMPORARY, "the server closed the connection");
        buf_put(&c->in, str_at(piece, got));
    }
}

// A reply of this class is wanted; else its words are the error.
static bool expect(struct conn *c, unsigned class, struct err *e)
{
    if (!hear(c, e))
        return false;
    return c->reply.code / 100 == class ||
           fail(e, c->reply.code / 100 == 4 ? ERR_TEMPORARY : ERR_DENIED, "the server says: %u %.*s",
                c->reply.code, STR_FMT(smtp_reply_line(&c->a, &c->reply)));
}

static bool say(struct conn *c, const struct buf *line, unsigned class, struct err *e)
{
    return stream_write(&c->stream, buf_str(line), time_left(c), e) && expect(c, class, e);
}

static bool start_tls(struct conn *c, struct err *e)
{
    struct tls_target target = {.name = c->s->host};

    // What came in plain before the handshake would count after it.
    if (c->in.n)
        return fail(e, ERR_DENIED, "the server sent more than its answer to STARTTLS");
    return stream_connect_tls(&c->stream, c->tls, &target, time_left(c), e) &&
           (c->s->is_unverified ||
            tls_verify_roots(c->tls, c->stream.tls, c->s->host, e) == TLS_VERIFIED);
}

static bool hello(struct conn *c, struct err *e)
{
    AUTO_BUF line = BUF_LIMIT(2048);

    if (!smtp_put_hello(&line, true, c->s->local_hostname, e))
        return false;
    if (!say(c, &line, 2, e))
        return false;
    smtp_offer_parse(&c->a, buf_str(&c->reply.text), &c->offer);
    return true;
}

static bool secure(struct conn *c, struct err *e)
{
    AUTO_BUF line = BUF_LIMIT(64);

    if (!c->s->has_starttls)
        return true;
    if (!c->offer.starttls)
        return fail(e, ERR_DENIED, "the server does not offer STARTTLS");
    BUF_PUT(&line, "STARTTLS\r\n");
    return say(c, &line, 2, e) && start_tls(c, e) && hello(c, e);
}

/* --- AUTH (RFC 4954) ----------------------------------------------------------------------------- */

static bool offers(void *ctx, struct str mechanism)
{
    return smtp_offer_has_auth(ctx, mechanism);
}

static bool choose(const struct conn *c, struct sasl_client *out, struct err *e)
{
    // The order of 3.8. A password in the clear only where TLS hides it, or it is asked for.
    static const enum sasl_mechanism usual[] = {
        SASL_EXTERNAL,        SASL_SCRAM_SHA_256_PLUS, SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_1_PLUS,
        SASL_SCRAM_SHA_1,     SASL_CRAM_MD5,           SASL_PLAIN,
    };
    size_t n = COUNT(usual) - !c->stream.tls;
    bool has_key = c->s->client_cert.n && c->stream.tls;

    if (c->s->has_mechanism)
        out->mechanism = sasl_client_choose(&c->s->mechanism, 1, has_key, &out->channel, offers,
                                            (void *)(uintptr_t)&c->offer);
    else
        out->mechanism = sasl_client_choose(usual + (has_key ? 0 : 1), has_key ? 1 : n - 1, has_key,
                                            &out->channel, offers, (void *)(uintptr_t)&c->offer);
    return out->mechanism != SASL_MECHANISMS ||
           fail(e, ERR_DENIED, "the server offers no way to log in that can be used here: %.*s",
                STR_FMT(c->offer.auth));
}

// The next response, to the challenge in the last reply.
static bool answer(struct conn *c, struct sasl_client *x, struct buf *line, struct err *e)
{
    AUTO_BUF challenge = BUF_LIMIT(SASL_MAX_MESSAGE), response = BUF_LIMIT(2 * SASL_MAX_MESSAGE);

    if (!base64_decode_strict(&challenge, str_trim(smtp_reply_line(&c->a, &c->reply))))
        return fail(e, ERR_SYNTAX, "the server's challenge is no base64");
    if (!sasl_client_step(&c->a, x, buf_str(&challenge), &response, e))
        return false;
    base64_encode(line, buf_str(&response));
    return true;
}

static bool begin(struct conn *c, struct sasl_client *x, struct buf *line, struct err *e)
{
    AUTO_BUF response = BUF_LIMIT(2 * SASL_MAX_MESSAGE);

    BUF_PUT(line, "AUTH ");
    buf_put(line, sasl_info(x->mechanism)->name);
    if (!sasl_client_is_first(x->mechanism))
        return true;
    if (!sasl_client_step(&c->a, x, STR(""), &response, e))
        return false;
    BUF_PUT(line, " ");
    if (response.n)
        base64_encode(line, buf_str(&response));
    else
        BUF_PUT(line, "=");
    return true;
}

static bool log_in(struct conn *c, struct err *e)
{
    AUTO_BUF line = BUF_LIMIT(4 * SASL_MAX_MESSAGE), nonce = BUF_LIMIT(64);
    struct sasl_client x = {.name = c->s->username, .password = c->s->password};
    unsigned char random[SCRAM_NONCE_BYTES], binding[TLS_MAX_BINDING];
    size_t n = 0;

    os_random(random, sizeof random);
    base64_encode(&nonce, str_at(random, sizeof random));
    x.nonce = buf_str(&nonce);
    x.channel.is_tls = c->stream.tls != NULL;
    if (c->stream.tls && tls_binding(c->stream.tls, &x.channel.type, binding, &n))
        x.channel.data = str_at(binding, n);
    if (!choose(c, &x, e))
        return false;
    x.server_has_plus = smtp_offer_has_auth(&c->offer, STR("SCRAM-SHA-256-PLUS")) ||
                        smtp_offer_has_auth(&c->offer, STR("SCRAM-SHA-1-PLUS"));
    if (!begin(c, &x, &line, e))
        return false;
    for (;;) {
        BUF_PUT(&line, "\r\n");
        if (!stream_write(&c->stream, buf_str(&line), time_left(c), e) || !hear(c, e))
            return false;
        if (c->reply.code != 334)
            break;
        buf_reset(&line);
        if (!answer(c, &x, &line, e))
            return false;
    }
    if (c->reply.code != 235)
        return fail(e, ERR_DENIED, "login: the server says: %u %.*s", c->reply.code,
                    STR_FMT(smtp_reply_line(&c->a, &c->reply)));
    return sasl_client_is_done(&c->a, &x, STR("")) ||
           fail(e, ERR_DENIED, "the server does not prove that it knows the password");
}

/* --- the message --------------------------------------------------------------------------------- */

static bool needs_utf8(const struct submission_message *m)
{
    for (size_t i = 0; i < m->n_recipients; i++)
        if (!str_is_ascii(m->recipients[i]))
            return true;
    return false;
}

static bool put_envelope(struct conn *c, const struct submission_message *m, struct err *e)
{
    AUTO_BUF mail = BUF_LIMIT(4096), rcpt = BUF_LIMIT(4096), data = BUF_LIMIT(64);
    bool is_utf8 = !str_is_ascii(c->s->from) || needs_utf8(m);
    struct smtp_send_mail from = {.reverse_path = c->s->from,
                                  .has_size = c->offer.has_size,
                                  .size = m->text.n,
                                  .is_8bitmime = m->has_8bit && c->offer.eightbitmime,
                                  .is_smtputf8 = is_utf8,
                                  .is_requiretls = c->s->requires_tls};

    if (is_utf8 && !c->offer.smtputf8)
        return fail(e, ERR_DENIED, "the addresses need SMTPUTF8, which the server does not have");
    if (c->s->requires_tls && !c->offer.requiretls)
        return fail(e, ERR_DENIED, "RequireTLS is set, and the server does not know REQUIRETLS");
    if (!smtp_put_mail(&mail, &from, e) || !say(c, &mail, 2, e))
        return false;
    for (size_t i = 0; i < m->n_recipients; i++) {
        struct smtp_send_rcpt to = {.address = m->recipients[i], .may_be_utf8 = is_utf8};

        buf_reset(&rcpt);
        if (!smtp_put_rcpt(&rcpt, &to, e) || !say(c, &rcpt, 2, e))
            return false;
    }
    BUF_PUT(&data, "DATA\r\n");
    return say(c, &data, 3, e);
}

static bool put_text(struct conn *c, struct str text, struct err *e)
{
    AUTO_BUF piece = BUF_LIMIT(4 * PIECE);
    int state = 0;

    while (text.n) {
        buf_reset(&piece);
        if (!smtp_stuff(&piece, &state, str_sub(text, 0, PIECE), e) ||
            !stream_write(&c->stream, buf_str(&piece), time_left(c), e))
            return false;
        text = str_from(text, PIECE);
    }
    buf_reset(&piece);
    return smtp_stuff_end(&piece, state, e) &&
           stream_write(&c->stream, buf_str(&piece), time_left(c), e) && expect(c, 2, e);
}

static bool dialogue(struct conn *c, const struct submission_message *m, struct err *e)
{
    AUTO_BUF quit = BUF_LIMIT(64);
    struct err ignored = {0};

    if ((c->s->has_tls && !start_tls(c, e)) || !expect(c, 2, e) || !hello(c, e) || !secure(c, e) ||
        !log_in(c, e) || !put_envelope(c, m, e) || !put_text(c, m->text, e))
        return false;
    BUF_PUT(&quit, "QUIT\r\n");
    // The message is the server's already; what it says to this changes nothing.
    (void)!say(c, &quit, 2, &ignored);
    return true;
}

bool submission_send(const struct submission *s, const struct submission_message *m, struct err *e)
{
    struct conn c = {.s = s, .stream = {.fd = -1}, .a = ARENA_LIMIT(16 << 20),
                     .in = BUF_LIMIT(SMTP_REPLY_MAX_BYTES), .reply = SMTP_REPLY,
                     .end_ms = os_monotonic_ms() + TOTAL_MS};
    int fd = net_connect(s->host, s->port, DIAL_MS, e);
    bool is_ok;

    if (fd < 0)
        return false;
    c.tls = tls_client_new(e);
    is_ok = c.tls && (!s->client_cert.n || tls_client_use_key(c.tls, s->client_cert, s->client_key, e)) &&
            stream_open(&c.stream, fd, e) && dialogue(&c, m, e);
    stream_close(&c.stream);
    tls_client_free(c.tls);
    buf_fini(&c.in);
    smtp_reply_fini(&c.reply);
    arena_fini(&c.a);
    return is_ok;
}
