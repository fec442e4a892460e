#include "role/start.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/map.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "role/profiles.h"

enum { START_TIMEOUT_MS = 60000, OPEN_FILES = 65536 };

static _Noreturn void give_up(struct role_start *s, const struct err *e)
{
    LOG(LOG_ERROR, "mox", "role cannot start", LOG_S("role", str_of(role_name(s->role))), LOG_E(e));
    exit(1);
}

bool role_read_config(struct packet *p, struct arena *a, struct str *out, struct err *e)
{
    AUTO_FD fd = packet_take_fd(p, 0);

    return os_read_fd(a, fd, COMPILED_MAX_BYTES, out, e);
}

bool role_read_authorities(struct role_start *s, struct role_authorities *out, struct err *e)
{
    *out = (struct role_authorities){.is_alone = s->settings.no_system_authorities};
    return s->authorities < 0 || os_read_fd(&s->arena, s->authorities, COMPILED_MAX_BYTES, &out->pem, e);
}

struct tls_client *role_tls_client(struct role_start *s, struct err *e)
{
    struct role_authorities trusted;
    struct tls_client *c = role_read_authorities(s, &trusted, e) ? tls_client_new(e) : NULL;

    if (!c || (!trusted.pem.n && !trusted.is_alone) || tls_client_add_roots(c, trusted.pem, trusted.is_alone, e))
        return c;
    tls_client_free(c);
    return NULL;
}

static bool read_records(struct role_start *s, struct err *e)
{
    struct cur c = cur_of(s->config);
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_level level;

        if (type == COMPILED_settings && !ipc_settings_get(body, &s->settings, e))
            return false;
        if (type == COMPILED_listener &&
            !ipc_listener_get(body, ARENA_PUSH(&s->arena, s->ports, &s->n_ports, &s->cap_ports), e))
            return false;
        if (type == COMPILED_level &&
            (!ipc_level_get(body, &level, e) || !log_set_level(level.package, level.level, e)))
            return false;
    }
    return e->kind == ERR_NONE;
}

static void keep_file(struct packet *p, struct given_file *files, size_t *n, uint32_t listener,
                      uint32_t key)
{
    if (*n < ROLE_MAX_GIVEN)
        files[(*n)++] = (struct given_file){listener, key, packet_take_fd(p, 0)};
}

bool role_keep_certificate(struct role_start *s, struct packet *p, struct err *e)
{
    struct ipc_tls_file file;
    struct ipc_tls_cert cert;

    if (p->type == IPC_tls_file) {
        if (!ipc_tls_file_get(p->body, &file, e))
            return false;
        keep_file(p, s->tls_files, &s->n_tls_files, file.listener, file.key);
        return true;
    }
    if (!ipc_tls_cert_get(p->body, &cert, e))
        return false;
    if (s->n_certs < ROLE_MAX_CERTS)
        s->certs[s->n_certs++] = (struct given_cert){heap_dup(cert.provider), heap_dup(cert.host), cert.key,
                                                     cert.is_temporary, packet_take_fd(p, 0)};
    return true;
}

// To these the file of authorities is given, and no directories.
static bool connects_to_others(enum role role)
{
    return role == ROLE_DELIVER_TEMPLATE || role == ROLE_FETCH_TEMPLATE || role == ROLE_WEB_TEMPLATE;
}

static bool take_message(struct role_start *s, struct err *e)
{
    struct packet *p = s->packet;
    struct ipc_config config;
    struct ipc_listen listen;
    struct ipc_received_key received;
    struct ipc_srs_key srs;
    struct ipc_metrics_page shown;

    switch ((int)p->type) {
    case IPC_config:
        if (!ipc_config_get(p->body, &config, e) ||
            !role_read_config(p, &s->arena, &s->config, e) || !read_records(s, e))
            return false;
        s->config_number = config.number;
        if (connects_to_others(s->role) && p->n_fds > 1)
            s->authorities = packet_take_fd(p, 1);
        for (size_t i = 1; i < p->n_fds && !connects_to_others(s->role) && s->n_dirs < ROLE_MAX_DIRS; i++)
            s->dirs[s->n_dirs++] = packet_take_fd(p, i);
        return true;
    case IPC_listen:
        if (!ipc_listen_get(p->body, &listen, e))
            return false;
        keep_file(p, s->listeners, &s->n_listeners, listen.index, 0);
        return true;
    case IPC_tls_file:
    case IPC_tls_cert:
        return role_keep_certificate(s, p, e);
    case IPC_received_key:
        if (!ipc_received_key_get(p->body, &received, e))
            return false;
        memcpy(s->received_key, received.key.p, received.key.n);
        return true;
    case IPC_srs_key:
        if (!ipc_srs_key_get(p->body, &srs, e) || srs.key.n != sizeof s->srs_key)
            return fail(e, ERR_BUG, "the key of SRS is none");
        memcpy(s->srs_key, srs.key.p, srs.key.n);
        return true;
    case IPC_account_ids:
        return ipc_account_ids_get(p->body, &s->account_ids, e);
    case IPC_metrics:
        return metrics_use(p->fds[0], e);
    case IPC_metrics_page:
        return ipc_metrics_page_get(p->body, &shown, e) &&
               (s->metrics[shown.role] = metrics_map(p->fds[0], e));
    case IPC_stop:
        exit(0);
    default:
        return fail(e, ERR_BUG, "message %s before go", ipc_rule_of(p->type)->name);
    }
}

void role_start(struct role_start *s, enum role role)
{
    struct err e = {0};
    uint64_t seed[2];

    // It is static, and zeroing it again would make thirteen pages of each process its own.
    s->role = role;
    s->monitor = (struct channel){3, role, ROLE_MONITOR};
    s->authorities = -1;
    s->arena = (struct arena)ARENA_LIMIT(256 << 20);
    s->packet = packet_new();
    os_random(seed, sizeof seed);
    str_hash_seed(seed[0], seed[1]);
    os_limit(OPEN_FILES);
    umask(077); // databases are for nobody else, wherever they are copied to
    os_title_set("mox: %s", role_name(role));
    for (;;) {
        enum channel_result r = channel_receive(&s->monitor, s->packet, START_TIMEOUT_MS, &e);

        if (r == CHANNEL_CLOSED)
            exit(1);
        if (r != CHANNEL_MESSAGE)
            give_up(s, &e);
        if (s->packet->type == IPC_go)
            return;
        if (!take_message(s, &e))
            give_up(s, &e);
    }
}

void role_ready(struct role_start *s)
{
    struct err e = {0};
    struct sandbox_profile own = *role_profile(s->role);
    struct sandbox *box;

    own.first_uid = s->account_ids.first;
    own.last_uid = s->account_ids.last;
    box = sandbox_compile(&own, &e);
    fd_close(&s->authorities);
    if (!box || !sandbox_enter(box, s->dirs, s->n_dirs, &e) ||
        !IPC_SEND(&s->monitor, config_done, NULL, 0, &e, .number = s->config_number))
        give_up(s, &e);
    sandbox_free(box);
    os_memory_trim(); // of what the start needed
}

const struct ipc_listener *role_port(const struct role_start *s, uint32_t index)
{
    for (size_t i = 0; i < s->n_ports; i++)
        if (s->ports[i].index == index)
            return &s->ports[i];
    return NULL;
}

void role_run(struct str name)
{
    switch (role_of_name(name)) {
    case ROLE_CONFIG:
        config_main();
    case ROLE_FRONT:
        front_main();
    case ROLE_SESSION_TEMPLATE:
        session_template_main();
    case ROLE_ACCOUNT_TEMPLATE:
        account_template_main();
    case ROLE_AUTH:
        auth_main();
    case ROLE_QUEUE:
        queue_main();
    case ROLE_KEYS:
        keys_main();
    case ROLE_DKIM:
        dkim_main();
    case ROLE_ACME:
        acme_main();
    case ROLE_RESOLVE:
        resolve_main();
    case ROLE_ADMIN:
        admin_main();
    case ROLE_DIAL:
        dial_main();
    case ROLE_DELIVER_TEMPLATE:
        deliver_template_main();
    case ROLE_FETCH_TEMPLATE:
        fetch_template_main();
    case ROLE_WEB_TEMPLATE:
        web_template_main();
    case ROLE_MONITOR: // main starts it itself
    case ROLE_SESSION: // forked from their templates
    case ROLE_ACCOUNT:
    case ROLE_DELIVER:
    case ROLE_FETCH:
    case ROLE_WEB:
    case ROLE_COUNT:
        break;
    }
}
