/*
 * What auth has granted to be passed on to other servers, until a session brings it.
 */
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "role/queue/queue_role.h"

enum { MAX_RELAYS = 20000, KEEP_MS = 3600 * 1000 };

static struct passing *relays; // the newest first
static size_t n_relays;

bool passing_granted(struct packet *m, struct err *e)
{
    struct ipc_relay_grant g;
    struct passing *r;
    char *texts;

    if (!ipc_relay_grant_get(m->body, &g, e))
        return false;
    if (n_relays == MAX_RELAYS)
        return true; // whoever asked for it hears that it is not there
    r = heap_alloc(sizeof *r + g.reverse_path.n + g.recipient.n + 1);
    texts = (char *)(r + 1);
    *r = (struct passing){.conn = g.conn, .number = g.relay, .end_ms = os_monotonic_ms() + KEEP_MS,
                        .reverse_path = {texts, g.reverse_path.n},
                        .recipient = {texts + g.reverse_path.n, g.recipient.n}, .next = relays};
    memcpy(texts, g.reverse_path.p, g.reverse_path.n);
    memcpy(texts + g.reverse_path.n, g.recipient.p, g.recipient.n);
    relays = r;
    n_relays++;
    return true;
}

static struct passing *find(uint64_t conn, uint32_t number)
{
    for (struct passing *r = relays; r; r = r->next)
        if (r->conn == conn && r->number == number)
            return r;
    return NULL;
}

const struct passing *passing_find(uint64_t conn, uint32_t number)
{
    struct passing *r = find(conn, number);
    struct service_peer *auth = service_peer_of(ROLE_AUTH);

    // auth has said it before it told the session, but perhaps it was not heard yet.
    if (!r && auth) {
        service_drain(auth);
        r = find(conn, number);
    }
    return r;
}

// Those that match, and those that nobody came for.
static void drop(uint64_t conn, int64_t now_ms)
{
    for (struct passing **at = &relays; *at;) {
        struct passing *r = *at;

        if (r->conn == conn || r->end_ms <= now_ms) {
            *at = r->next;
            free(r);
            n_relays--;
        } else {
            at = &r->next;
        }
    }
}

void passing_closed(uint64_t conn)
{
    drop(conn, 0);
}

void passing_tick(void)
{
    drop(UINT64_MAX, os_monotonic_ms());
}
