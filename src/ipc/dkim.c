#include "ipc/dkim.h"

#include <unistd.h>

#include "os/clock.h"

enum { PIECE = 64 * 1024 };

struct signer {
    struct dkim_client *client;
    uint32_t key;
};

// The next answer, whatever it is to.
static bool hear(struct dkim_client *k, struct err *e)
{
    return channel_receive(k->ch, k->packet, DKIM_CLIENT_TIMEOUT_MS, e) == CHANNEL_MESSAGE ||
           fail(e, ERR_TEMPORARY, "dkim does not answer");
}

static bool hear_signed(struct dkim_client *k, struct ipc_dkim_signed *m, struct err *e)
{
    // What came too late for the question it answers is passed over.
    do
        if (!hear(k, e) || (k->packet->type == IPC_dkim_signed &&
                            !ipc_dkim_signed_get(k->packet->body, m, e)))
            return false;
    while (k->packet->type != IPC_dkim_signed || m->request != k->request);
    return true;
}

static bool hear_selector(struct dkim_client *k, struct ipc_dkim_selector *m, struct err *e)
{
    do
        if (!hear(k, e) || (k->packet->type == IPC_dkim_selector &&
                            !ipc_dkim_selector_get(k->packet->body, m, e)))
            return false;
    while (k->packet->type != IPC_dkim_selector || m->request != k->request);
    return true;
}

static bool sign(void *ctx, struct str digest, struct buf *signature, struct err *e)
{
    const struct signer *s = ctx;
    struct ipc_dkim_signed m;

    if (!IPC_SEND(s->client->ch, dkim_sign, NULL, 0, e, .request = ++s->client->request,
                  .key = s->key, .digest = digest) ||
        !hear_signed(s->client, &m, e))
        return false;
    if (!m.is_ok)
        return fail(e, ERR_DENIED, "dkim does not sign");
    buf_put(signature, m.signature);
    return true;
}

// A list with colons.
static void split_headers(struct arena *a, struct str text, struct dkim_selector *s)
{
    struct str *headers = NULL;
    size_t cap = 0;

    s->n_headers = 0;
    while (text.n) {
        ptrdiff_t colon = str_find(text, ':');
        size_t n = colon == STR_NONE ? text.n : (size_t)colon;

        *ARENA_PUSH(a, headers, &s->n_headers, &cap) = arena_dup(a, str_sub(text, 0, n));
        text = str_from(text, n + (colon != STR_NONE));
    }
    s->headers = headers;
}

static void take_selector(struct dkim_client *k, struct arena *a,
                          const struct ipc_dkim_selector *m, struct dkim_selector *out)
{
    struct signer *s = ARENA_NEW(a, struct signer);

    *s = (struct signer){k, m->key};
    *out = (struct dkim_selector){
        .name = arena_dup(a, m->name),
        .domain = arena_dup(a, m->domain),
        .signer = {(enum dkim_algorithm)m->algorithm, s, sign},
        .is_unsealed = m->is_unsealed,
        .header_is_relaxed = m->header_is_relaxed,
        .body_is_relaxed = m->body_is_relaxed,
        .expires_after = (int64_t)m->expires_after,
    };
    split_headers(a, m->headers, out);
}

bool dkim_client_selectors(struct dkim_client *k, struct arena *a, struct str domain,
                           struct dkim_selector **out, size_t *n, struct err *e)
{
    struct ipc_dkim_selector m;
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    if (!IPC_SEND(k->ch, dkim_domain, NULL, 0, e, .request = ++k->request, .domain = domain))
        return false;
    do {
        if (!hear_selector(k, &m, e))
            return false;
        // More than anybody needs, and what more there is has to be read.
        if (m.name.n && *n < DKIM_CLIENT_MAX_SELECTORS)
            take_selector(k, a, &m, ARENA_PUSH(a, *out, n, &cap));
    } while (m.left);
    return true;
}

static void add_headers(struct arena *a, const struct dkim_client_message *m, struct dkim_selector *s)
{
    struct str *all = ARENA_ARRAY(a, s->n_headers + m->n_more, struct str);

    for (size_t i = 0; i < s->n_headers; i++)
        all[i] = s->headers[i];
    for (size_t i = 0; i < m->n_more; i++)
        all[s->n_headers + i] = m->more[i];
    s->headers = all;
    s->n_headers += m->n_more;
}

static bool feed_file(const struct dkim_client_message *m, struct arena *a,
                      struct dkim_bodies *bodies, struct err *e)
{
    char *piece = arena_alloc(a, PIECE);
    uint64_t at = m->body_start;

    while (at < m->body_end) {
        uint64_t left = m->body_end - at;
        ssize_t got = pread(m->fd, piece, left < PIECE ? (size_t)left : PIECE, (off_t)at);

        if (got <= 0)
            return fail_errno(e, "reading a message to sign");
        dkim_bodies_feed(bodies, str_at(piece, (size_t)got));
        at += (uint64_t)got;
    }
    return true;
}

bool dkim_client_sign(struct dkim_client *k, const struct dkim_client_message *m, struct buf *out,
                      struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT((8 << 20) + DKIM_MAX_HEADER_BYTES);
    struct dkim_selector *selectors;
    struct dkim_header *header;
    struct dkim_bodies *bodies;
    size_t n, start = out->n;
    bool is_ok = true;

    if (!dkim_client_selectors(k, &a, m->domain, &selectors, &n, e))
        return false;
    if (!n)
        return true;
    header = dkim_header_parse(&a, m->header, e);
    if (!header)
        return false;
    for (size_t i = 0; i < n && m->n_more; i++)
        add_headers(&a, m, &selectors[i]);
    bodies = dkim_bodies_new();
    dkim_sign_begin(selectors, n, bodies);
    if (m->fd < 0)
        dkim_bodies_feed(bodies, m->body);
    else
        is_ok = feed_file(m, &a, bodies, e);
    dkim_bodies_end(bodies);
    is_ok = is_ok && dkim_sign_end(header, selectors, n, m->localpart, os_now_unix(), bodies, out, e);
    dkim_bodies_free(bodies);
    if (!is_ok)
        out->n = start;
    return is_ok;
}
