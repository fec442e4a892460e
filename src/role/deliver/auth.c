/*
 * Logging in at a relay (RFC 4954), with the first mechanism of the transport that it offers.
 */
#include <string.h>

#include "os/clock.h"
#include "proto/sasl/client.h"
#include "role/deliver/deliver.h"
#include "text/encode.h"

enum { NONCE_BYTES = 18, MAX_STEPS = 8 };

static bool offers(void *ctx, struct str mechanism)
{
    const struct conn *c = ctx;

    return smtp_offer_has_auth(&c->offer, mechanism);
}

static size_t wanted(struct str list, enum sasl_mechanism *out, size_t max)
{
    struct str word;
    size_t n = 0;

    while (n < max && str_next(&list, ' ', &word)) {
        if (sasl_mechanism_of(word) != SASL_MECHANISMS)
            out[n++] = sasl_mechanism_of(word);
    }
    return n;
}

static void put_nonce(struct arena *a, struct sasl_client *s)
{
    unsigned char random[NONCE_BYTES];
    AUTO_BUF nonce = BUF_LIMIT(64);

    os_random(random, sizeof random);
    base64_encode(&nonce, str_at(random, sizeof random));
    s->nonce = arena_dup(a, buf_str(&nonce));
}

// RFC 4954 4: "=" is an initial response of no bytes.
static bool first_line(struct arena *a, struct sasl_client *s, struct buf *line, struct err *e)
{
    AUTO_BUF message = BUF_LIMIT(16384);

    BUF_PUT(line, "AUTH ");
    buf_put(line, sasl_info(s->mechanism)->name);
    if (sasl_client_is_first(s->mechanism)) {
        if (!sasl_client_step(a, s, STR(""), &message, e))
            return false;
        BUF_PUT(line, " ");
        if (message.n)
            base64_encode(line, buf_str(&message));
        else
            BUF_PUT(line, "=");
    }
    BUF_PUT(line, "\r\n");
    return true;
}

static bool next_line(struct arena *a, struct sasl_client *s, struct str challenge, struct buf *line,
                      struct err *e)
{
    AUTO_BUF message = BUF_LIMIT(16384), bytes = BUF_LIMIT(16384);

    if (!base64_decode_strict(&bytes, str_trim(challenge)))
        return fail(e, ERR_SYNTAX, "a challenge that is not base64");
    if (!sasl_client_step(a, s, buf_str(&bytes), &message, e))
        return false;
    base64_encode(line, buf_str(&message));
    BUF_PUT(line, "\r\n");
    return true;
}

static bool refused(const struct conn *c, struct failure *f, struct arena *a, const char *text)
{
    failed(f, a, false, "4.7.0", "logging in: %s", text);
    f->mta = arena_dup(a, c->host);
    f->has_ip = c->has_ip;
    f->ip = c->ip;
    return false;
}

static bool exchange(struct deliver *d, struct sasl_client *s, struct arena *a, struct failure *f)
{
    AUTO_BUF line = BUF_LIMIT(32768);
    struct conn *c = &d->conn;
    struct err e = {0};

    if (!first_line(a, s, &line, &e))
        return refused(c, f, a, e.text);
    for (int i = 0; i < MAX_STEPS; i++) {
        if (line.full || !conn_command(d, buf_str(&line), COMMAND_MS, a, f))
            return line.full ? refused(c, f, a, "a message that is too long") : false;
        if (c->reply.code == 235)
            // RFC 5802 3: one that does not know the password is not the relay.
            return sasl_client_is_done(a, s, STR("")) ||
                   refused(c, f, a, "the server has not proved that it knows the password");
        if (c->reply.code != 334) {
            failed_reply(c, f, a, "4.7.0");
            // Somebody has to change the configuration; until then the mail waits.
            f->is_permanent = false;
            return false;
        }
        buf_reset(&line);
        if (!next_line(a, s, buf_str(&c->reply.text), &line, &e)) {
            c->is_spent = true;
            return refused(c, f, a, e.text);
        }
    }
    return refused(c, f, a, "the exchange does not end");
}

bool conn_authenticate(struct deliver *d, struct arena *a, struct failure *f)
{
    enum sasl_mechanism list[SASL_MECHANISMS];
    unsigned char data[TLS_MAX_BINDING];
    struct conn *c = &d->conn;
    struct sasl_client s = {.name = d->way.username, .password = d->way.password};
    size_t n = 0;

    if (c->stream.tls) {
        s.channel.is_tls = true;
        if (tls_binding(c->stream.tls, &s.channel.type, data, &n))
            s.channel.data = str_at(data, n);
    }
    s.mechanism = sasl_client_choose(list, wanted(d->way.mechanisms, list, COUNT(list)), false,
                                     &s.channel, offers, c);
    if (s.mechanism == SASL_MECHANISMS)
        return refused(c, f, a, "the server offers none of the mechanisms of the transport");
    s.server_has_plus = smtp_offer_has_auth(&c->offer, STR("SCRAM-SHA-256-PLUS")) ||
                        smtp_offer_has_auth(&c->offer, STR("SCRAM-SHA-1-PLUS"));
    put_nonce(a, &s);
    return exchange(d, &s, a, f);
}
