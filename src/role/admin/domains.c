/*
 * Commands that change domains.conf, or ask about it: the monitor gives the file, the editor changes its
 * text here (config/edit.h), and the monitor has the result checked, writes it and puts it to use.
 */
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
                    .removed_account = ed->removed_account, .new_keys = ed->new_keys);
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
    is_ok = is_ok && c->edit->run(&ed, c->arguments, &why);
    if (is_ok && c->edit->is_question) {
        c->waits_for = 0;
        is_ok = answer_question(c, &ed, e);
        config_editor_end(&ed);
        return is_ok;
    }
    is_ok = is_ok && send_changed(c, &ed, got->version, &why);
    config_editor_end(&ed);
    if (is_ok)
        return true; // and the monitor's answer is the command's
    c->waits_for = 0;
    return admin_answer(c, &why, e);
}
