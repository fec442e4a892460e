/*
 * The fetch template, and what a forked fetch does first.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "role/fetch/fetch.h"
#include "role/fetch/https.h"
#include "role/template.h"

static _Noreturn void run_fetch(struct role_start *s, struct packet *p)
{
    static struct fetch f;
    struct ipc_fetch_start start;
    struct err e = {0};

    child_enter_sandbox(s, NULL, 0);
    if (!ipc_fetch_start_get(p->body, &start, &e))
        _exit(1);
    f = (struct fetch){.asker = {packet_take_fd(p, 0), ROLE_FETCH, (enum role)start.asker},
                       .resolve_fd = packet_take_fd(p, 1),
                       .dial = {packet_take_fd(p, 2), ROLE_FETCH, ROLE_DIAL},
                       .resolver = RESOLVER(fetch_give_resolver, &f),
                       .packet = p,
                       .arena = ARENA_LIMIT(32 << 20)};
    _exit(!fetch_serve(&f));
}

_Noreturn void fetch_template_main(void)
{
    static const struct child_kind kind = {IPC_fetch_start, NULL, run_fetch};
    static struct role_start s;
    struct role_authorities trusted;
    struct err e = {0};

    role_start(&s, ROLE_FETCH_TEMPLATE);
    crypto_warm_tls();
    if (!role_read_authorities(&s, &trusted, &e) || !https_open(trusted.pem, trusted.is_alone, &e)) {
        LOG(LOG_ERROR, "fetch", "cannot start", LOG_E(&e));
        exit(1);
    }
    template_loop(&s, &kind);
}
