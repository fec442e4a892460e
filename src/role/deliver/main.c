/*
 * The deliver template, and what a child does first.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "role/deliver/deliver.h"
#include "role/template.h"

static struct tls_client *tls;

static bool has_no_other(void *ctx, struct channel *out, struct err *e)
{
    (void)ctx, (void)out;
    return fail(e, ERR_TEMPORARY, "the process that asks the DNS is gone");
}

static void run_child(struct role_start *start, struct packet *p)
{
    const char *cap = getenv("MOX_SMTP_TIMEOUT_MS");
    struct deliver d = {.start = start, .packet = p, .arena = ARENA_LIMIT(1 << 20), .tls = tls,
                        .resolver = RESOLVER(has_no_other, NULL),
                        .conn = {.stream = {.fd = -1}, .in = BUF_LIMIT(64 * 1024),
                                 .reply = SMTP_REPLY, .a = ARENA_LIMIT(1 << 20)}};
    struct ipc_deliver_start m;
    struct err e = {0};
    uint64_t ms;

    child_enter_sandbox(start, NULL, 0);
    if (!ipc_deliver_start_get(p->body, &m, &e))
        _exit(1);
    d.queue = (struct channel){packet_take_fd(p, 0), ROLE_DELIVER, ROLE_QUEUE};
    d.resolver.ch = (struct channel){packet_take_fd(p, 1), ROLE_DELIVER, ROLE_RESOLVE};
    d.dial = (struct channel){packet_take_fd(p, 2), ROLE_DELIVER, ROLE_DIAL};
    d.dns = resolver_dns(&d.resolver);
    if (cap && str_u64(str_of(cap), SESSION_MS, &ms))
        d.cap_ms = (int)ms;
    os_title_set("mox: deliver");
    log_set_cid(m.conn);
    deliver_serve(&d);
    _exit(0);
}

_Noreturn void deliver_template_main(void)
{
    static const struct child_kind kind = {.start = IPC_deliver_start, .run = run_child};
    static struct role_start s;
    struct err e = {0};

    role_start(&s, ROLE_DELIVER_TEMPLATE);
    crypto_warm_tls();
    tls = role_tls_client(&s, &e);
    if (!tls) {
        LOG(LOG_ERROR, "deliver", "cannot start", LOG_E(&e));
        exit(1);
    }
    template_loop(&s, &kind);
}
