#include "role/admin/lookup.h"

#include "ipc/resolve.h"
#include "os/clock.h"
#include "role/admin/admin.h"

enum { ANSWER_MS = 60 * 1000 }; // resolve has always answered by then, or has ended

static struct lookup *open_lookups;

void lookup_begin(struct lookup *l)
{
    dns_later_init(&l->later);
    l->is_open = true;
    l->request = 0;
    l->next = open_lookups;
    open_lookups = l;
}

void lookup_end(struct lookup *l)
{
    if (!l->is_open)
        return;
    for (struct lookup **at = &open_lookups; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    dns_later_fini(&l->later);
    l->is_open = false;
}

struct dns lookup_dns(struct lookup *l)
{
    dns_later_begin(&l->later);
    return dns_later_dns(&l->later);
}

bool lookup_is_missing(struct lookup *l)
{
    struct service_peer *resolve = service_peer_of(ROLE_RESOLVE);
    struct err e = {0};

    if (!l->later.is_missing)
        return false;
    if (!resolve)
        return true;
    l->request = admin_next_request();
    l->asked_ms = os_monotonic_ms();
    if (!IPC_SEND(&resolve->ch, resolve, NULL, 0, &e, .request = l->request, .type = l->later.type,
                  .name = l->later.name))
        l->request = 0;
    return true;
}

bool lookup_resolved(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct lookup *l = open_lookups;
    struct ipc_resolved r;
    struct dns_answer answer;

    if (!ipc_resolved_get(m->body, &r, e))
        return false;
    while (l && (!l->request || l->request != r.request))
        l = l->next;
    if (!l)
        return true; // too late
    if (!resolve_take_answer(&a, l->later.type, &r, &answer, e))
        return false;
    l->request = 0;
    dns_later_put(&l->later, &answer);
    l->run();
    return true;
}

void lookup_tick(void)
{
    struct lookup *next;

    for (struct lookup *l = open_lookups; l; l = next) {
        next = l->next; // run may end it
        if (!l->request || os_monotonic_ms() - l->asked_ms > ANSWER_MS)
            l->run();
    }
}
