/*
 * Programs of the administrator that set records in the DNS for dns-01: the only ones that the server starts. Which, the
 * configuration says; acme says for which name and with what text, and both are looked at here.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"

enum { MAX_TEXT = 100, TIMEOUT_MS = 300 * 1000 };

void hook_know(struct monitor *m, const struct ipc_acme_hook *h)
{
    if (m->n_hooks < MAX_HOOKS)
        m->hooks[m->n_hooks++] = (struct hook){.provider = arena_dup(&m->arena, h->provider),
                                               .path = arena_cstring(&m->arena, h->path)};
}

static bool is_word(struct str text, size_t max)
{
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && str_find(STR("._-"), text.p[i]) < 0)
            return false;
    return text.n <= max;
}

// Words that mean nothing to a shell, whatever the program does with them. base64url may begin with a hyphen.
bool hook_may_say(struct str host, struct str text)
{
    return is_word(host, 253) && host.n && host.p[0] != '-' && host.p[0] != '.' && is_word(text, MAX_TEXT);
}

static bool start(struct monitor *m, struct hook *h, const struct ipc_dns_hook *asked, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    char *argv[] = {(char *)(uintptr_t)h->path, asked->is_set ? "set" : "clear",
                    arena_cstring(&a, arena_printf(&a, "_acme-challenge.%.*s", STR_FMT(asked->host))),
                    arena_cstring(&a, asked->text), NULL};

    if (!hook_may_say(asked->host, asked->text))
        return fail(e, ERR_DENIED, "no name or text for a record");
    if (h->pid)
        return fail(e, ERR_TEMPORARY, "the program is running already");
    h->pid = os_start_program(m->config_dir, h->path, argv, &m->user, e);
    h->request = asked->request;
    h->deadline_ms = os_monotonic_ms() + TIMEOUT_MS;
    LOG(LOG_DEBUG, "autotls", "program for the DNS started", LOG_S("program", str_of(h->path)),
        LOG_S("does", str_of(argv[1])), LOG_S("host", asked->host));
    if (h->pid > 0)
        return true;
    h->pid = 0;
    return false;
}

bool hook_run(struct process *acme, struct packet *p, struct err *e)
{
    struct monitor *m = acme->m;
    struct ipc_dns_hook asked;
    struct hook *h = NULL;
    struct err why = {0};

    if (!ipc_dns_hook_get(p->body, &asked, e))
        return false;
    for (size_t i = 0; i < m->n_hooks; i++)
        if (str_eq(m->hooks[i].provider, asked.provider))
            h = &m->hooks[i];
    if (!h)
        (void)fail(&why, ERR_NOT_FOUND, "no program for the DNS is configured");
    if (h && start(m, h, &asked, &why))
        return true; // the answer comes when it ends
    return IPC_SEND(&acme->ch, dns_hooked, NULL, 0, e, .request = asked.request, .why = str_of(why.text));
}

bool hook_ended(struct monitor *m, pid_t pid, int status)
{
    struct process *acme = role_process(m, ROLE_ACME);
    char how[100];
    struct err e = {0};

    for (size_t i = 0; i < m->n_hooks; i++) {
        struct hook *h = &m->hooks[i];
        bool is_ok = WIFEXITED(status) && !WEXITSTATUS(status);

        if (h->pid != pid)
            continue;
        h->pid = 0;
        os_describe_status(status, how, sizeof how);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) // os_start_program
            snprintf(how, sizeof how, "it is not there, or User may not execute it or enter its directory");
        if (!is_ok)
            LOG(LOG_ERROR, "autotls", "program for the DNS failed", LOG_S("program", str_of(h->path)),
                LOG_S("how", str_of(how)));
        if (acme && !IPC_SEND(&acme->ch, dns_hooked, NULL, 0, &e, .request = h->request, .is_ok = is_ok,
                              .why = is_ok ? STR("") : str_of(how)))
            LOG(LOG_DEBUG, "autotls", "telling of a program's end", LOG_E(&e));
        return true;
    }
    return false;
}

void hooks_look(struct monitor *m)
{
    int64_t now = os_monotonic_ms();

    for (size_t i = 0; i < m->n_hooks; i++)
        if (m->hooks[i].pid && now > m->hooks[i].deadline_ms)
            kill(-m->hooks[i].pid, SIGKILL); // and what it started
}
