/*
 * auth: who may log in, and which account an address belongs to.
 *
 * A session hears only yes or no; what a login or an address entitles to goes to the monitor.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "role/auth/auth.h"

struct auth auth;

/* --- configuration ------------------------------------------------------------------------------ */

static bool collect_texts(struct str compiled, struct buf texts[2], struct err *e)
{
    struct cur c = cur_of(compiled);
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_text_piece piece;

        if (type != COMPILED_text_piece)
            continue;
        if (!ipc_text_piece_get(body, &piece, e))
            return false;
        buf_put(&texts[piece.file], piece.bytes);
    }
    return e->kind == ERR_NONE;
}

static struct loaded *load(struct str compiled, struct err *e)
{
    struct buf texts[2] = {BUF_LIMIT(SCONF_MAX_BYTES), BUF_LIMIT(SCONF_MAX_BYTES)};
    struct loaded *l = heap_alloc(sizeof *l);
    bool is_ok = collect_texts(compiled, texts, e);

    l->a = (struct arena)ARENA_LIMIT(512 << 20);
    is_ok = is_ok && config_read_directory(&l->a, arena_dup(&l->a, buf_str(&texts[0])),
                                           arena_dup(&l->a, buf_str(&texts[1])), &l->config, e);
    buf_fini(&texts[0]);
    buf_fini(&texts[1]);
    if (!is_ok) {
        arena_fini(&l->a);
        free(l);
        return NULL;
    }
    l->directory = directory_new(&l->config);
    return l;
}

static bool on_monitor(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(COMPILED_MAX_BYTES + (1 << 20));
    struct ipc_config config;
    struct loaded *fresh;
    struct str text;

    if (m->type != IPC_config || !ipc_config_get(m->body, &config, e) ||
        !role_read_config(m, &a, &text, e) || !(fresh = load(text, e)))
        return e->kind ? false : fail(e, ERR_BUG, "unexpected message");
    directory_free(auth.loaded->directory);
    arena_fini(&auth.loaded->a);
    free(auth.loaded);
    auth.loaded = fresh;
    return IPC_SEND(&auth.start.monitor, config_done, NULL, 0, e, .number = config.number);
}

struct str auth_account_of(struct arena *a, struct str login, struct str *disabled)
{
    struct address address;

    *disabled = STR("");
    if (!address_parse_spec(a, login, &address))
        return STR("");
    return directory_login(auth.loaded->directory, a, address.localpart, address.domain, disabled);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_auth_step:
        return login_step(p, m, e);
    case IPC_auth_abort:
        return login_abort(p, m, e);
    case IPC_auth_key:
        return login_by_key(p, m, e);
    case IPC_key_check:
        return login_key_check(p, m, e);
    case IPC_rcpt_check:
        return auth_rcpt_check(p, m, e);
    case IPC_report_check:
        return auth_report_check(p, m, e);
    case IPC_from_check:
        return auth_from_check(p, m, e);
    case IPC_list_check:
        return auth_list_check(p, m, e);
    default:
        return manage_message(p, m, e);
    }
}

static void on_opened(struct service_peer *p)
{
    p->data = heap_alloc(sizeof(struct client));
}

static void on_closed(struct service_peer *p)
{
    struct client *client = p->data;

    login_closed(p);
    heap_free(&client->account);
    free(client);
}

static void on_stop(void)
{
    record_write();
    credentials_close(auth.credentials);
    exit(0);
}

_Noreturn void auth_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened,
                                                     .closed = on_closed, .monitor = on_monitor,
                                                     .tick = record_write, .stop = on_stop};
    struct err e = {0};

    role_start(&auth.start, ROLE_AUTH);
    crypto_warm();
    if (fchdir(auth.start.dirs[0]) || !(auth.credentials = credentials_open(&e)) ||
        !(auth.loaded = load(auth.start.config, &e)) ||
        !login_prepare(&e)) {
        LOG(LOG_ERROR, "auth", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&auth.start, &handlers);
}
