/*
 * What is passed on to other servers without a login: messages to lists with members there, and what comes
 * back to the addresses that were made for their senders (policy/srs.h). Which they are, the configuration
 * says; the queue hears it from here, and of a session only the number.
 */
#include "base/log.h"
#include "message/header.h"
#include "os/clock.h"
#include "role/auth/auth.h"

static uint32_t next_relay = 1;

static bool grant(const struct service_peer *p, struct str reverse_path, struct str recipient,
                  struct err *e)
{
    struct service_peer *queue = service_peer_of(ROLE_QUEUE);

    if (!queue)
        return fail(e, ERR_TEMPORARY, "the queue is starting again");
    return IPC_SEND(&queue->ch, relay_grant, NULL, 0, e, .conn = p->conn, .relay = next_relay++,
                    .reverse_path = reverse_path, .recipient = recipient);
}

// The sender's address as one of ours; a null path stays one.
static bool rewrite(struct arena *a, struct str reverse_path, struct str domain, struct buf *out,
                    struct err *e)
{
    AUTO_BUF localpart = BUF_LIMIT(IPC_MAX_ADDRESS);
    struct address from;

    if (!reverse_path.n)
        return true;
    if (!address_parse_spec(a, reverse_path, &from))
        return fail(e, ERR_SYNTAX, "the sender is no address");
    if (!srs_forward(auth.start.srs_key, os_now_unix(), from.localpart, from.domain, &localpart, e))
        return false;
    address_put_localpart(out, buf_str(&localpart));
    BUF_PUT(out, "@");
    buf_put(out, domain);
    return true;
}

bool relay_list(const struct service_peer *p, struct arena *a, const struct ipc_rcpt_check *m,
                uint32_t *first, uint32_t *n, struct err *e)
{
    AUTO_BUF reverse_path = BUF_LIMIT(IPC_MAX_ADDRESS);
    struct addresses members;
    struct str canonical, domain;

    directory_elsewhere(auth.loaded->directory, a, m->localpart, m->domain, &members);
    *n = (uint32_t)(members.n < IPC_MAX_TARGETS ? members.n : IPC_MAX_TARGETS);
    *first = *n ? next_relay : 0;
    if (!*n)
        return true;
    canonical = directory_canonical(auth.loaded->directory, a, m->localpart, m->domain);
    domain = str_from(canonical, (size_t)str_find_last(canonical, '@') + 1);
    if (!rewrite(a, m->reverse_path, domain, &reverse_path, e) ||
        !IPC_SEND(&auth.start.monitor, seal_grant, NULL, 0, e, .conn = p->conn, .domain = domain))
        return false;
    if (reverse_path.full)
        return fail(e, ERR_LIMIT, "the sender's address is too long to be rewritten");
    for (uint32_t i = 0; i < *n; i++)
        if (!grant(p, buf_str(&reverse_path), members.items[i], e))
            return false;
    return true;
}

bool relay_is_return(struct arena *a, const struct ipc_rcpt_check *m, struct str *recipient)
{
    AUTO_BUF out = BUF_LIMIT(2 * IPC_MAX_ADDRESS);
    struct str localpart, domain;
    struct err e = {0};

    if (!srs_is(m->localpart) || !directory_is_ours(auth.loaded->directory, a, m->domain))
        return false;
    if (!srs_reverse(auth.start.srs_key, os_now_unix(), a, m->localpart, &localpart, &domain, &e)) {
        LOG(LOG_INFO, "auth", "no address to return to", LOG_E(&e));
        return false;
    }
    address_put_localpart(&out, localpart);
    BUF_PUT(&out, "@");
    buf_put(&out, domain);
    *recipient = arena_dup(a, buf_str(&out));
    return recipient->n <= IPC_MAX_ADDRESS;
}

bool relay_return(const struct service_peer *p, struct str recipient, uint32_t *first, struct err *e)
{
    *first = next_relay;
    return grant(p, STR(""), recipient, e);
}
