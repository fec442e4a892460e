/*
 * Commands that change domains.conf, or ask about it: the monitor gives the file, the editor changes its
 * text here (config/edit.h), and the monitor has the result checked, writes it and puts it to use.
 */
#include "base/log.h"
#include "config/edit.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/admin/admin.h"
#include "text/idna.h"

bool domains_run(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    (void)arguments; // they stay in c until the file is here
    c->waits_for = admin_next_request();
    if (IPC_SEND(admin_monitor(), domains_read, NULL, 0, &why, .request = c->waits_for))
        return true;
    c->waits_for = 0;
    return admin_answer(c, &why, e);
}

/* --- what else has an address ----------------------------------------------------------------------- */

// Keys that log in as what goes away. A line has fingerprint, type, name, account, login and a flag (role/auth/manage.c).
static bool no_key_logs_in(struct config_editor *ed, struct str what, struct err *e)
{
    struct ipc_admin_reply reply = {0};
    struct service_peer *auth;
    uint64_t after = 0;

    do {
        struct str line, fingerprint, field;
        struct cur c;

        if (!admin_peer(ROLE_AUTH, &auth, e) ||
            !IPC_SEND(&auth->ch, client_key_list, NULL, 0, e, .after = after) || !admin_await(&auth->ch, &reply, e))
            return false;
        after = reply.more;
        c = cur_of(reply.text);
        while (cur_line(&c, &line)) {
            struct str rest = line;
            bool is_whole = str_next(&rest, '\t', &fingerprint);

            for (int i = 0; i < 4; i++)
                is_whole = is_whole && str_next(&rest, '\t', &field);
            if (is_whole && config_editor_is(ed, what, field))
                return fail(e, ERR_CONFLICT, "the TLS public key %.*s logs in as %.*s: remove it first",
                            STR_FMT(fingerprint), STR_FMT(field));
        }
    } while (after);
    return true;
}

// Mail that waits with the address as its sender, which would get reports about it.
static bool no_mail_waits(struct config_editor *ed, struct str address, struct err *e)
{
    struct str account = config_editor_sole_owner(ed, address);
    struct ipc_admin_reply reply = {0};
    struct service_peer *queue;
    uint64_t after = 0;

    if (!account.n)
        return true;
    do {
        struct str line;
        struct cur c;

        if (!admin_peer(ROLE_QUEUE, &queue, e) ||
            !IPC_SEND(&queue->ch, queue_command, NULL, 0, e, .verb = IPC_QUEUE_SENDERS, .value = account,
                      .after = after) ||
            !admin_await(&queue->ch, &reply, e))
            return false;
        after = reply.more;
        c = cur_of(reply.text);
        while (cur_line(&c, &line))
            if (config_editor_is(ed, address, line))
                return fail(e, ERR_CONFLICT, "messages of %.*s wait in the queue: let them go, or \"queue fail\" "
                            "them", STR_FMT(line));
    } while (after);
    return true;
}

static bool strands_nothing(struct config_editor *ed, struct str what, struct err *e)
{
    return no_key_logs_in(ed, what, e) && (str_find(what, '@') == STR_NONE || no_mail_waits(ed, what, e));
}

/* --- the change itself ------------------------------------------------------------------------------ */

void domains_are_written(const struct ipc_domains_written *written)
{
    struct str text = written->text;
    struct err why = {0};

    if (!removal_changed(written->request, written->is_ok, &why)) {
        LOG(LOG_ERROR, "admin", "forgetting an account", LOG_E(&why));
        text = str_of(why.text);
    }
    admin_answer_late(written->request, written->is_ok && !why.kind, text);
}

static bool answer_question(struct ctl *c, const struct config_editor *ed, struct err *e)
{
    return admin_put(c, STR("ok\n"), e) &&
           (!ed->answer.n || admin_put_piece(c, buf_str(&ed->answer), e)) &&
           admin_put(c, STR("0\n"), e);
}

static bool send_changed(struct ctl *c, const struct config_editor *ed, uint64_t version,
                         struct err *e)
{
    AUTO_FD fd = os_memfile("domains.conf", e);

    return fd >= 0 && os_write_all(fd, ed->file.text, e) && os_memfile_seal(fd, e) &&
           IPC_SEND(admin_monitor(), domains_write, &fd, 1, e, .request = c->waits_for,
                    .version = version, .added_account = ed->added_account,
                    .removed_account = ed->removed_account, .new_keys = ed->new_keys,
                    .old_keys = ed->old_keys);
}

bool domains_have(struct ctl *c, struct packet *m, const struct ipc_domains_text *got, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_FD fd = m->n_fds ? packet_take_fd(m, 0) : -1;
    struct config_editor ed = {0};
    struct err why = {0};
    struct str text;
    bool is_ok;

    if (fd < 0)
        (void)fail(&why, ERR_TEMPORARY, "%.*s", STR_FMT(got->why));
    is_ok = fd >= 0 && os_read_fd(&a, fd, SCONF_MAX_BYTES, &text, &why) &&
            config_editor_begin(&ed, &a, text, &why);
    ed.now_unix = os_now_unix();
    ed.postmaster = admin_settings()->postmaster;
    ed.has_mtasts = admin_settings()->has_mtasts;
    if (is_ok && !domain_to_unicode(&a, admin_settings()->hostname, &ed.hostname, &why))
        is_ok = false;
    is_ok = is_ok && (!c->edit->strands || strands_nothing(&ed, c->arguments[0], &why)) &&
            c->edit->run(&ed, c->arguments, &why);
    if (is_ok && c->edit->is_question) {
        c->waits_for = 0;
        is_ok = answer_question(c, &ed, e);
        config_editor_end(&ed);
        return is_ok;
    }
    is_ok = is_ok && (!ed.added_account.n || removal_is_over(ed.added_account, &why)) &&
            (!ed.removed_account.n || removal_begin(ed.removed_account, c->waits_for, &why));
    if (is_ok && !send_changed(c, &ed, got->version, &why)) {
        is_ok = false;
        (void)!removal_changed(c->waits_for, false, &why);
    }
    config_editor_end(&ed);
    if (is_ok)
        return true; // and the monitor's answer is the command's
    c->waits_for = 0;
    return admin_answer(c, &why, e);
}
